"""Pictures over http(s): limited in bytes and time, and only from addresses that may be connected to."""

import socket
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import httpcore
import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from services.embedder.errors import (
    OutsideCatalogue,
    PrivateAddress,
    TooLarge,
    Unreachable,
    Unreadable,
    UnsupportedAddress,
)

NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, seen through every way to write an IPv4 in IPv6."""
    found = ip_address(address)
    inner = _inner_ipv4(found) if isinstance(found, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _inner_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, 6to4, Teredo or NAT64 address leads to."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def resolve_host(host: str, port: int, *, private_allowed: bool) -> list[str]:
    """The addresses of a host, the one to connect to first. Raises PrivateAddress and Unreachable.

    One private address among public ones refuses the host: which of them is used is not the host's choice.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address: {error}") from None
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not private_allowed and not is_public(address):
            raise PrivateAddress(host, address)
    return addresses


ATTEMPTS: Final = 3
REDIRECTS_MAX: Final = 5
CONNECTIONS: Final = 64
HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # a picture is compressed already; a bomb would be, too
    "User-Agent": "eddy-embedder",
}


class TransientFailure(Exception):
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
        [address, *_] = resolve_host(host, port, private_allowed=self._private_allowed)
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
            retry=retry_if_exception_type(TransientFailure),
            reraise=True,
        )

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. Raises PictureRefused; `timeout_s` is for all attempts together."""
        deadline = time.monotonic() + self._timeout_s
        try:
            return self._retrying(self._fetch, url, deadline)
        except TransientFailure as error:
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
                    raise TransientFailure(f"status {response.status_code}")
                if response.status_code != 200:
                    raise Unreachable(f"{url} answers with status {response.status_code}")
                return self._body(url, response, deadline)
        except (httpx.HTTPError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise Unreachable(f"{url} cannot be fetched: {error or type(error).__name__}") from None
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise TransientFailure(str(error) or type(error).__name__) from None

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


SHOWN: Final = 80  # characters of an address in a reason


class Fetcher(Protocol):
    """What fetches over the network; `services.embedder.pictures.fetch.Downloads` does."""

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. Raises PictureRefused."""


class PictureSource:
    """The bytes of pictures; may be used from several threads."""

    def __init__(self, downloads: Fetcher, catalogue: Path | None, bytes_max: int) -> None:
        self._downloads = downloads
        self._catalogue = catalogue.resolve() if catalogue else None
        self._bytes_max = bytes_max

    def read(self, address: str) -> bytes:
        """The picture's bytes. Raises PictureRefused."""
        try:
            scheme = urlsplit(address).scheme.lower()
        except ValueError as error:
            raise UnsupportedAddress(f"{address[:SHOWN]} is no URL: {error}") from None
        if is_remote(address):
            return self._downloads.fetch(address)
        if scheme == "data":
            return self._check_size(_inline(address), "the data: URL")
        if scheme:
            raise UnsupportedAddress(f"{scheme}: is not fetched; use http, https, data or a relative path")
        return self._file(unquote(address))

    def _file(self, relative: str) -> bytes:
        shown = relative[:SHOWN]
        if self._catalogue is None:
            raise OutsideCatalogue(f"{shown} is a path, but EDDY_CATALOGUE_DIR is not set")
        try:
            path = (self._catalogue / relative).resolve()
            if Path(relative).is_absolute() or not path.is_relative_to(self._catalogue):
                raise OutsideCatalogue(f"{shown} is not inside the catalogue's folder")
            if not path.is_file():
                raise Unreachable(f"{shown} is no file in the catalogue's folder")
            with path.open("rb") as file:
                return self._check_size(file.read(self._bytes_max + 1), shown)
        except OSError as error:  # the error's own text repeats the whole path
            raise Unreachable(f"{shown} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise Unreachable(f"{shown} is no path: {error}") from None

    def _check_size(self, raw: bytes, what: str) -> bytes:
        if len(raw) > self._bytes_max:
            raise TooLarge(f"{what} has more than {self._bytes_max} bytes")
        return raw


def is_remote(address: str) -> bool:
    """Whether the picture comes over the network."""
    return address[:8].lower().startswith(("http://", "https://"))


def _inline(address: str) -> bytes:
    """The bytes inside a data: URL (RFC 2397)."""
    head, comma, body = address.partition(",")
    if not comma:
        raise Unreadable("the data: URL has no comma")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return b64decode(unquote(body), validate=True)
    except (Base64Error, ValueError) as error:
        raise Unreadable(f"the data: URL is no base64: {error}") from None
