"""DELETE /v1/visitors/{visitor_id}: a visitor asks to be forgotten, and a shop's people pass it on."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import is_visitor_id
from services.admin_door import AdminDoor
from services.ingest.answering import json_response
from services.ingest.answers import ErasureAnswer
from services.ingest.eraser import Eraser
from services.ingest.event_routes import Clock
from services.ingest.openapi import DESCRIPTION_OF_ERASURE
from services.ingest.publisher import Publisher
from services.ingest.refusals import NoVisitor

REASON: Final = "DELETE /v1/visitors"


def erasure_routes(door: AdminDoor, eraser: Eraser, publisher: Publisher, clock: Clock) -> APIRouter:
    """The route of erasures, behind the admin key: who may send events of a visitor may not erase it."""
    router = APIRouter(tags=["visitors"])

    @router.delete("/v1/visitors/{visitor_id}", **DESCRIPTION_OF_ERASURE)
    async def delete_visitor(request: Request) -> Response:
        """Forgets a visitor, and all visitors that are the same person.

        202 means that Kafka has it: within a second the state is gone and open pages show what a new visitor
        sees. A visitor that nobody knows is no error.
        """
        door.require(request.headers.get("authorization"))
        visitor_id = str(request.path_params["visitor_id"])
        if not is_visitor_id(visitor_id):
            raise NoVisitor("a visitor_id has 1 to 64 letters, digits or any of _.:-")
        erased_at = int(clock())
        erased = await eraser.erase(visitor_id, at=erased_at, reason=REASON)
        publisher.forget(erased)
        return json_response(ErasureAnswer(visitor_id, erased, erased_at), 202, cached=False)

    return router
