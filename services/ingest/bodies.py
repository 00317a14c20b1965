"""Reads request bodies up to a limit, and writes the answers."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.answers import Answer, Rejection
from services.ingest.batches import Rejected
from services.ingest.refusals import NothingAcceptable, TooLarge, UnsupportedBody

# text/plain: a browser sends it to another origin without asking first (no CORS preflight).
MEDIA_TYPES: Final = frozenset({"application/json", "text/plain"})


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises UnsupportedBody for what is not JSON, and TooLarge beyond `limit` bytes."""
    declared = request.headers.get("content-type", "")
    if declared and declared.partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise UnsupportedBody(f"the body is {declared}: send application/json or text/plain")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"the body has {length} bytes, at most {limit} are taken: send smaller batches")
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise TooLarge(f"the body has more than {limit} bytes, which is the limit: send smaller batches")
    return bytes(received)


def json_response(body: msgspec.Struct, status: int, *, cached: bool = True) -> Response:
    """A struct as a JSON response."""
    headers = None if cached else {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def answer_of(accepted: int, rejected: Sequence[Rejected]) -> Response:
    """202 with what was accepted and refused. Raises NothingAcceptable where nothing was accepted."""
    answer = Answer(accepted, [Rejection(each.index, each.reason) for each in rejected])
    if not accepted:
        detail = "none of the entries can be taken" if rejected else "the batch is empty"
        raise NothingAcceptable(detail, fields={"accepted": 0, "rejected": answer.rejected})
    return json_response(answer, 202)
