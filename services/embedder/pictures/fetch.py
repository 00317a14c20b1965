"""Pictures over http(s): limited in bytes and time, and only from addresses that may be connected to."""

import socket
import ssl
import threading
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import httpcore
import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from services.embedder.errors import (
    HostAway,
    OutsideCatalogue,
    PrivateAddress,
    TooLarge,
    Unreachable,
    Unreadable,
    UnsupportedAddress,
)

AddressInfo = tuple[Any, ...]  # as getaddrinfo tells it; the fifth holds the address

NAT64: Final = IPv6Network("64:ff9b::/96")
TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")  # RFC 2765
ISATAP: Final = 0x5EFE  # RFC 5214: any prefix, 0:5efe or 200:5efe, an IPv4 address
# What `is_global` lets through, or did in some version of Python, and is not for everybody all the same.
NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is a cloud's metadata service
            "192.88.99.0/24",  # relays of 6to4, RFC 7526
            "168.63.129.16/32",  # a cloud's own services, seen from its machines
            "::/96",  # IPv4-compatible, RFC 4291: given up
            "64:ff9b:1::/48",  # NAT64 inside a network, RFC 8215
            "100::/64",  # discarded, RFC 6666
            "2001::/23",  # IETF protocol assignments: benchmarks, ORCHID; Teredo is looked into before
            "3fff::/20",  # documentation, RFC 9637
            "5f00::/16",  # segment routing, RFC 9602
            "fec0::/10",  # site-local, RFC 3879
        ),
    )
)


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, seen through every way to write an IPv4 in IPv6."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if inner := _inner_ipv4(found):
            return all(is_public(str(each)) for each in inner)
        if int(found) >> 32 & 0xFDFFFFFF == ISATAP and not is_public(str(_last_32_bits(found))):
            return False
    return found.is_global and not found.is_multicast and not any(found in each for each in NOT_PUBLIC)


def _inner_ipv4(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a mapped, translated, 6to4, Teredo or NAT64 address leads to."""
    if address in NAT64 or address in TRANSLATED:
        return [_last_32_bits(address)]
    return list(filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))))


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def resolve_host(host: str, port: int, *, private_allowed: bool, within_s: float = 10.0) -> list[str]:
    """The addresses of a host, the one to connect to first. Raises PrivateAddress, Unreachable and HostAway.

    One private address among public ones refuses the host: which of them is used is not the host's choice.
    """
    try:
        found = _look_up(host, port, within_s)
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise HostAway(f"{host} cannot be looked up now: {error}") from None
        raise Unreachable(f"{host} has no address: {error}") from None
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not private_allowed and not is_public(address):
            raise PrivateAddress(host, address)
    return addresses


def _look_up(host: str, port: int, within_s: float) -> list[AddressInfo]:
    """What `getaddrinfo` answers, which knows no deadline; its thread may outlive the one who asked."""
    answer: SimpleQueue[list[AddressInfo] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answer.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        found = answer.get(timeout=max(within_s, 0))
    except Empty:
        raise HostAway(f"looking up {host} takes more than {within_s:.1f} s") from None
    if isinstance(found, Exception):
        raise found
    return found


ATTEMPTS: Final = 3
REDIRECTS_MAX: Final = 5
MAY_PASS: Final = (408, 425, 429)  # and every 5xx
CONNECTIONS: Final = 64
HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # a picture is compressed already; a bomb would be, too
    "User-Agent": "eddy-embedder",
}


class TransientFailure(Exception):
    """A failure that may be gone at the next attempt."""


class Deadline(threading.local):
    """When the picture that this thread fetches is to be there, whatever of it is under way."""

    at = inf  # time.monotonic()

    def cap(self, timeout: float | None) -> float:
        """The seconds left, or less. Raises httpcore's ReadTimeout at the end."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(timeout, left)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline.

    A timeout alone begins anew with each byte: a host that sends one now and then would never end.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes."""
        return self._stream.read(max_bytes, self._deadline.cap(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All bytes."""
        self._stream.write(buffer, self._deadline.cap(timeout))

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        timeout = self._deadline.cap(timeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> object:
        """What the connection tells of itself."""
        return self._stream.get_extra_info(info)


class CheckedNetwork(httpcore.SyncBackend):
    """Connects to the very address that was checked, at every redirect: a name cannot change in between."""

    def __init__(self, *, private_allowed: bool, deadline: Deadline | None = None) -> None:
        self._private_allowed = private_allowed
        self._deadline = deadline or Deadline()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises PrivateAddress, and Unreachable for a name without an address."""
        left = self._deadline.cap(timeout)
        [address, *_] = resolve_host(host, port, private_allowed=self._private_allowed, within_s=left)
        left = self._deadline.cap(timeout)
        stream = super().connect_tcp(address, port, left, local_address, socket_options)
        return DeadlineStream(stream, self._deadline)


class _Body(httpx.SyncByteStream):
    """A body of at most so many bytes; those of redirects are read, too."""

    def __init__(self, response: httpcore.Response, bytes_max: int) -> None:
        self._response = response
        self._bytes_max = bytes_max

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for chunk in self._response.iter_stream():
            received += len(chunk)
            if received > self._bytes_max:
                raise TooLarge(f"the picture has more than {self._bytes_max} bytes")
            yield chunk

    def close(self) -> None:
        self._response.close()


class CheckedTransport(httpx.BaseTransport):
    """httpx on a connection pool with a network of ours; httpx's own transport has no place for one."""

    def __init__(self, network: httpcore.NetworkBackend, bytes_max: int) -> None:
        self._bytes_max = bytes_max
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
        body = _Body(response, self._bytes_max)
        return httpx.Response(response.status, headers=response.headers, stream=body)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()


class Downloads:
    """Fetches pictures; may be used from several threads."""

    def __init__(self, *, private_allowed: bool, bytes_max: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = Deadline()
        network = CheckedNetwork(private_allowed=private_allowed, deadline=self._deadline)
        self._client = httpx.Client(
            transport=CheckedTransport(network, bytes_max),
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
        """The bytes at a URL. Raises PictureRefused.

        `timeout_s` is for all of it together: names, connections, TLS, headers, redirects, bodies, attempts.
        """
        self._deadline.at = time.monotonic() + self._timeout_s
        try:
            return self._retrying(self._fetch, url)
        except TransientFailure as error:
            raise HostAway(f"{url} cannot be fetched: {error}") from None
        except httpx.InvalidURL as error:
            raise Unreachable(f"{url} is no URL: {error}") from None

    def _fetch(self, url: str) -> bytes:
        left = self._deadline.at - time.monotonic()
        if left <= 0:
            raise HostAway(f"{url} took longer than {self._timeout_s:g} s")
        try:
            with self._client.stream("GET", url, timeout=left) as response:
                if response.status_code >= 500 or response.status_code in MAY_PASS:
                    raise TransientFailure(f"status {response.status_code}")
                if response.status_code != 200:
                    raise Unreachable(f"{url} answers with status {response.status_code}")
                return b"".join(response.iter_raw())
        except (httpx.HTTPError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise Unreachable(f"{url} cannot be fetched: {error or type(error).__name__}") from None
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            if time.monotonic() >= self._deadline.at:
                raise HostAway(f"{url} took longer than {self._timeout_s:g} s") from None
            raise TransientFailure(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


SHOWN: Final = 80  # characters of an address in a reason


class Fetcher(Protocol):
    """What fetches over the network; `services.embedder.pictures.fetch.Downloads` does."""

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. Raises PictureRefused."""


class PictureSource:
    """The bytes of pictures; may be used from several threads. `url`: where shoppers find the folder."""

    def __init__(
        self, downloads: Fetcher, catalogue: Path | None, bytes_max: int, url: str | None = None
    ) -> None:
        self._downloads = downloads
        self._url = f"{url.rstrip('/')}/" if url and catalogue else None
        self._catalogue = catalogue.resolve() if catalogue else None
        self._bytes_max = bytes_max

    def read(self, address: str) -> bytes:
        """The picture's bytes. Raises PictureRefused."""
        try:
            scheme = urlsplit(address).scheme.lower()
        except ValueError as error:
            raise UnsupportedAddress(f"{address[:SHOWN]} is no URL: {error}") from None
        if self._url and address.startswith(self._url):
            return self._file(unquote(address.removeprefix(self._url)))
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


def host_of(address: str) -> str:
    """The host and port of a remote picture; what cannot be told apart counts as one host."""
    try:
        found = urlsplit(address)
        return f"{found.hostname}:{found.port or {'http': 80}.get(found.scheme.lower(), 443)}"
    except ValueError:
        return ""


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
