"""Writes the answers of batches."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from services.ingest.answers import Answer, Rejection
from services.ingest.batches import Rejected
from services.ingest.refusals import NothingAcceptable


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
