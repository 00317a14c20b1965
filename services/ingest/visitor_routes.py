"""POST /v1/visitors: new visitors, and fresh tokens for known ones."""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from ulid import ULID

from services.bodies import UnreadableBody, read_body
from services.ingest.answering import json_response
from services.ingest.answers import VisitorAnswer, VisitorRequest
from services.ingest.credentials import Doorkeeper
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_VISITORS
from services.tokens import VisitorToken

BODY_MAX_BYTES = 4096

_decoder = msgspec.json.Decoder(VisitorRequest)


def visitor_routes(door: Doorkeeper, metrics: Metrics) -> APIRouter:
    """The routes of visitors."""
    router = APIRouter(tags=["visitors"])

    @router.post("/v1/visitors", **DESCRIPTION_OF_VISITORS)
    async def post_visitor(request: Request) -> Response:
        """Gives a token: to a new visitor, to the one of an old token, or to one that a back end names."""
        how, issued = _issue(door, request, _decoded(await read_body(request, BODY_MAX_BYTES)))
        metrics.tokens.labels(how).inc()
        answer = VisitorAnswer(issued.visitor_id, issued.token, issued.expires_at)
        return json_response(answer, 200, cached=False)

    return router


def _issue(door: Doorkeeper, request: Request, wanted: VisitorRequest) -> tuple[str, VisitorToken]:
    if wanted.visitor_id is not None:
        return "named", door.issue(request, wanted.visitor_id)
    if wanted.token is not None:
        return "renewed", door.renew(wanted.token)
    return "new", door.welcome(request, str(ULID()))


def _decoded(body: bytes) -> VisitorRequest:
    if not body.strip():
        return VisitorRequest()
    try:
        wanted = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(f"expected nothing, a token or a visitor_id: {error}") from None
    if wanted.token is not None and wanted.visitor_id is not None:
        raise UnreadableBody("expected a token or a visitor_id, not both")
    return wanted
