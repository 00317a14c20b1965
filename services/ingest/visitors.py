"""POST /v1/visitors: new visitors, and fresh tokens for known ones."""

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from ulid import ULID

from schemas.events import is_visitor_id
from services.ingest.events import Clock
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_ERASURE, DESCRIPTION_OF_VISITORS
from services.ingest.publisher import Publisher
from services.ingest.responses import ErasureAnswer, NoVisitor, VisitorAnswer, VisitorRequest, json_response
from services.kafka.clients import AcknowledgedProducer, NotDelivered, TopicMissing
from services.kafka.ranges import BrokerAway as HistoryAway
from services.settings import ServiceSettings
from services.visitors import erasure
from services.web.auth import AdminAuth, VisitorAuth, VisitorToken
from services.web.problems import BrokerAway, RefusedByKafka
from services.web.requests import UnreadableBody, read_body
from services.web.routes import DirectRoute

BODY_MAX_BYTES = 4096

_decoder = msgspec.json.Decoder(VisitorRequest)


def visitor_routes(door: VisitorAuth, metrics: Metrics) -> APIRouter:
    """The routes of visitors."""
    router = APIRouter(tags=["visitors"], route_class=DirectRoute)

    @router.post("/v1/visitors", **DESCRIPTION_OF_VISITORS)
    async def post_visitor(request: Request) -> Response:
        """Gives a token: to a new visitor, to the one of an old token, or to one that a back end names."""
        how, issued = _issue(door, request, _decode_request(await read_body(request, BODY_MAX_BYTES)))
        metrics.tokens.labels(how).inc()
        answer = VisitorAnswer(issued.visitor_id, issued.token, issued.expires_at)
        return json_response(answer, 200, cached=False)

    return router


def _issue(door: VisitorAuth, request: Request, wanted: VisitorRequest) -> tuple[str, VisitorToken]:
    if wanted.visitor_id is not None:
        return "named", door.issue(request, wanted.visitor_id)
    if wanted.token is not None:
        return "renewed", door.renew(wanted.token)
    return "new", door.welcome(request, str(ULID()))


def _decode_request(body: bytes) -> VisitorRequest:
    if not body.strip():
        return VisitorRequest()
    try:
        wanted = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(f"expected nothing, a token or a visitor_id: {error}") from None
    if wanted.token is not None and wanted.visitor_id is not None:
        raise UnreadableBody("expected a token or a visitor_id, not both")
    return wanted


class ErasureWriter:
    """Writes `erasures`, and parts the person's visitors on `identities`."""

    def __init__(self, producer: AcknowledgedProducer, settings: ServiceSettings, metrics: Metrics) -> None:
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def erase(self, visitor_id: str, *, at: int, reason: str, proven: bool) -> tuple[str, ...]:
        """Returns once Kafka has it: the visitors that are erased. `at` is Unix ms. Raises BrokerAway.

        `proven`: only those of whom it is proven that they are the same person.
        """
        try:
            person = await asyncio.to_thread(erasure.person_of, self._settings, visitor_id, proven=proven)
            for topic, messages in erasure.messages(person, at, reason):
                await self._producer.send_all(self._settings.topic(topic), messages)
        except NotDelivered as error:
            raise (RefusedByKafka(error.refused) if error.is_final else BrokerAway(str(error))) from error
        except (HistoryAway, TopicMissing) as error:
            raise BrokerAway(str(error)) from error
        self._metrics.visitors_erased.inc(len(person.visitor_ids))
        return person.visitor_ids


REASON: Final = "DELETE /v1/visitors"


def erasure_routes(
    admin: AdminAuth, door: VisitorAuth, eraser: ErasureWriter, publisher: Publisher, clock: Clock
) -> APIRouter:
    """The route of erasures, for the visitor itself and behind the admin key."""
    router = APIRouter(tags=["visitors"], route_class=DirectRoute)

    @router.delete("/v1/visitors/{visitor_id}", **DESCRIPTION_OF_ERASURE)
    async def delete_visitor(request: Request) -> Response:
        """Forgets a visitor, and all visitors that are the same person: with the admin key all that are said
        to be, with the visitor's token those of whom it is proven.

        202 means that Kafka has it: within a second the state is gone and open pages show what a new visitor
        sees. A visitor that nobody knows is no error.
        """
        visitor_id = str(request.path_params["visitor_id"])
        is_itself = door.visitor_of(request) == visitor_id
        if not is_itself:
            admin.require(request.headers.get("authorization"))
        if not is_visitor_id(visitor_id):
            raise NoVisitor("a visitor_id has 1 to 64 letters, digits or any of _.:-")
        erased_at = int(clock())
        erased = await eraser.erase(visitor_id, at=erased_at, reason=REASON, proven=is_itself)
        publisher.forget(erased, erased_at)
        return json_response(ErasureAnswer(visitor_id, erased, erased_at), 202, cached=False)

    return router
