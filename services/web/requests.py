"""Reads request bodies up to a limit, packed by gzip or not; what cannot be read is a problem."""

import zlib
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

from services.web.problems import Problem

# text/plain: a browser sends it to another origin without asking first (no CORS preflight).
JSON: Final = ("application/json",)
MEDIA_TYPES: Final = (*JSON, "text/plain")
GZIP: Final = frozenset({"gzip", "x-gzip"})
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # zlib's way to say: with the header and checksum of gzip


class UnreadableBody(Problem):
    """The body as a whole is not what the path takes."""

    status = HTTPStatus.BAD_REQUEST
    kind = "unreadable-body"


class UnsupportedBody(Problem):
    """The body is declared as something else than what is taken."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    kind = "unsupported-body"


class TooLarge(Problem):
    """The body, or one entry of it, has more bytes or entries than it may have."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    kind = "too-large"


async def read_body(request: Request, limit: int, media_types: Collection[str] | None = MEDIA_TYPES) -> bytes:
    """The whole body, unpacked. Raises UnsupportedBody, UnreadableBody, and TooLarge beyond `limit` bytes.

    The limit holds for what comes and for what it unpacks to; no more than that is ever unpacked. Without
    `media_types` a body may be declared as anything.
    """
    if media_types is not None:
        _check_media_type(request, media_types)
    unpacker = _unpacker(request)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"the body has {length} bytes, at most {limit} are taken: send smaller batches")
    came, received = 0, bytearray()
    async for chunk in request.stream():
        came += len(chunk)
        received += chunk if unpacker is None else _unpack(unpacker, chunk, limit + 1 - len(received))
        if max(came, len(received)) > limit:
            raise TooLarge(f"the body has more than {limit} bytes, which is the limit: send smaller batches")
    if unpacker is not None and (not unpacker.eof or unpacker.unused_data):
        raise UnreadableBody("the body is declared as gzip and does not end as such")
    return bytes(received)


def _check_media_type(request: Request, media_types: Collection[str]) -> None:
    declared = request.headers.get("content-type", "")
    if declared and declared.partition(";")[0].strip().lower() not in media_types:
        raise UnsupportedBody(f"the body is {declared}: send {' or '.join(media_types)}")


def _unpacker(request: Request) -> "zlib._Decompress | None":
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding in GZIP:
        return zlib.decompressobj(GZIP_WINDOW)
    if coding not in {"", "identity"}:
        raise UnsupportedBody(
            f"the body is packed by {coding}: send it by gzip or as it is",
            headers={"Accept-Encoding": "gzip"},
        )
    return None


def _unpack(unpacker: "zlib._Decompress", chunk: bytes, at_most: int) -> bytes:
    try:
        return unpacker.decompress(chunk, at_most)
    except zlib.error as error:
        raise UnreadableBody(f"the body is declared as gzip and is none: {error}") from None


PRODUCT: Final = "{product_id:any}"  # the piece of a route's path


class AnyText(Convertor[str]):
    """Starlette's own `path` ends at a line feed, and the product behind it could not be reached."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("any", AnyText())
