"""Reads request bodies up to a limit, packed by gzip or not, and writes the answers."""

import zlib
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.answers import Answer, Rejection
from services.ingest.batches import Rejected
from services.ingest.refusals import NothingAcceptable, TooLarge, UnreadableBody, UnsupportedBody

# text/plain: a browser sends it to another origin without asking first (no CORS preflight).
MEDIA_TYPES: Final = frozenset({"application/json", "text/plain"})
GZIP: Final = frozenset({"gzip", "x-gzip"})
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # zlib's way to say: with the header and checksum of gzip


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, unpacked. Raises UnsupportedBody, UnreadableBody, and TooLarge beyond `limit` bytes.

    The limit holds for what comes and for what it unpacks to; no more than that is ever unpacked.
    """
    _check_media_type(request)
    unpacker = _unpacker(request)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"the body has {length} bytes, at most {limit} are taken: send smaller batches")
    came, received = 0, bytearray()
    async for chunk in request.stream():
        came += len(chunk)
        received += chunk if unpacker is None else _unpacked(unpacker, chunk, limit + 1 - len(received))
        if max(came, len(received)) > limit:
            raise TooLarge(f"the body has more than {limit} bytes, which is the limit: send smaller batches")
    if unpacker is not None and (not unpacker.eof or unpacker.unused_data):
        raise UnreadableBody("the body is declared as gzip and does not end as such")
    return bytes(received)


def _check_media_type(request: Request) -> None:
    declared = request.headers.get("content-type", "")
    if declared and declared.partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise UnsupportedBody(f"the body is {declared}: send application/json or text/plain")


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


def _unpacked(unpacker: "zlib._Decompress", chunk: bytes, at_most: int) -> bytes:
    try:
        return unpacker.decompress(chunk, at_most)
    except zlib.error as error:
        raise UnreadableBody(f"the body is declared as gzip and is none: {error}") from None


def json_response(body: msgspec.Struct, status: int, *, cached: bool = True) -> Response:
    """A struct as a JSON response."""
    headers = None if cached else {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def answer_of(accepted: int, rejected: Sequence[Rejected]) -> Response:
    """202 with what was accepted and refused. Raises NothingAcceptable where nothing was accepted."""
    answer = Answer(accepted, told(rejected))
    if not accepted:
        detail = "none of the entries can be taken" if rejected else "the batch is empty"
        raise NothingAcceptable(detail, fields={"accepted": 0, "rejected": answer.rejected})
    return json_response(answer, 202)


def told(rejected: Sequence[Rejected]) -> list[Rejection]:
    """Refused entries as an answer tells them."""
    return [Rejection(each.index, each.reason) for each in rejected]
