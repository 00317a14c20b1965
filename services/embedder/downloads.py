"""Pictures over http(s): limited in bytes and time, and only from addresses that may be connected to."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

import httpcore
import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from services.embedder.addresses import resolved
from services.embedder.refusals import TooLarge, Unreachable

ATTEMPTS: Final = 3
REDIRECTS_MAX: Final = 5
CONNECTIONS: Final = 64
HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # a picture is compressed already; a bomb would be, too
    "User-Agent": "eddy-embedder",
}


class Passing(Exception):
    """A failure that may be gone at the next attempt."""


class CheckedNetwork(httpcore.SyncBackend):
    """Connects to the very address that was checked, at every redirect: a name cannot change in between."""

    def __init__(self, *, private_allowed: bool) -> None:
        self._private_allowed = private_allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises PrivateAddress, and Unreachable for a name without an address."""
        [address, *_] = resolved(host, port, private_allowed=self._private_allowed)
        return super().connect_tcp(address, port, timeout, local_address, socket_options)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class CheckedTransport(httpx.BaseTransport):
    """httpx on a connection pool with a network of ours; httpx's own transport has no place for one."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS,
            network_backend=network,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Passes a request on; httpcore's errors come out as they are."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()


class Downloads:
    """Fetches pictures; may be used from several threads."""

    def __init__(self, *, private_allowed: bool, bytes_max: int, timeout_s: float) -> None:
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            transport=CheckedTransport(CheckedNetwork(private_allowed=private_allowed)),
            headers=HEADERS,
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            trust_env=False,  # a proxy would connect to addresses that nobody has checked
        )
        self._retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.1, max=1.0, jitter=0.1),
            retry=retry_if_exception_type(Passing),
            reraise=True,
        )

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. Raises PictureRefused; `timeout_s` is for all attempts together."""
        deadline = time.monotonic() + self._timeout_s
        try:
            return self._retrying(self._fetch, url, deadline)
        except Passing as error:
            raise Unreachable(f"{url} cannot be fetched: {error}") from None
        except httpx.InvalidURL as error:
            raise Unreachable(f"{url} is no URL: {error}") from None

    def _fetch(self, url: str, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"{url} took longer than {self._timeout_s:g} s")
        try:
            with self._client.stream("GET", url, timeout=left) as response:
                if response.status_code >= 500:
                    raise Passing(f"status {response.status_code}")
                if response.status_code != 200:
                    raise Unreachable(f"{url} answers with status {response.status_code}")
                return self._body(url, response, deadline)
        except (httpx.HTTPError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise Unreachable(f"{url} cannot be fetched: {error or type(error).__name__}") from None
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise Passing(str(error) or type(error).__name__) from None

    def _body(self, url: str, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._bytes_max:
                raise TooLarge(f"{url} has more than {self._bytes_max} bytes")
            if time.monotonic() > deadline:
                raise Unreachable(f"{url} took longer than {self._timeout_s:g} s")
        return bytes(body)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
