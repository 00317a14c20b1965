"""A product's picture by its address: http(s), data:, or a file in the catalogue's own folder."""

from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from services.embedder.refusals import OutsideCatalogue, TooLarge, Unreachable, Unreadable, UnsupportedAddress

SHOWN: Final = 80  # characters of an address in a reason


class Fetches(Protocol):
    """What fetches over the network; `services.embedder.downloads.Downloads` does."""

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. Raises PictureRefused."""


class PictureSource:
    """The bytes of pictures; may be used from several threads."""

    def __init__(self, downloads: Fetches, catalogue: Path | None, bytes_max: int) -> None:
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
            return self._limited(_inline(address), "the data: URL")
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
                return self._limited(file.read(self._bytes_max + 1), shown)
        except OSError as error:  # the error's own text repeats the whole path
            raise Unreachable(f"{shown} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise Unreachable(f"{shown} is no path: {error}") from None

    def _limited(self, raw: bytes, what: str) -> bytes:
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
