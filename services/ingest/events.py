"""POST /v1/events: a batch of events to Kafka, each on its own merits."""

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Event
from schemas.traces import TRACEPARENT, TRACESTATE, is_of_page, parse
from services.ingest.dead_letters import dead_letter_routes
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_EVENTS
from services.ingest.publisher import Publisher
from services.ingest.responses import answer_of, answer_of_refusal
from services.ingest.validation import Provenance, Rejected, UnreadableBatch, split_events, validate_events
from services.tracing.port import NULL_TRACER, Tracer, current_span
from services.tracing.requests import trace_requests
from services.web.auth import VisitorAuth
from services.web.problems import RefusedByKafka
from services.web.rates import count_events
from services.web.requests import TooLarge, UnreadableBody, read_body
from services.web.routes import DirectRoute

PATH: Final = "/v1/events"

Clock = Callable[[], float]  # Unix ms


def event_routes(
    door: VisitorAuth,
    publisher: Publisher,
    metrics: Metrics,
    clock: Clock,
    tracer: Tracer = NULL_TRACER,
) -> APIRouter:
    """The routes of events, of which dead letters are taken back, too."""
    router = APIRouter(tags=["events"], route_class=DirectRoute)
    router.include_router(dead_letter_routes(door, publisher, clock, tracer))

    @router.post(PATH, **DESCRIPTION_OF_EVENTS)
    @trace_requests(tracer, PATH)
    async def post_events(request: Request) -> Response:
        """Takes events, each judged on its own. 202 means that Kafka has every accepted one."""
        visitor_id = door.sender_of_events(request)
        body = await read_body(request, MAX_BATCH_BYTES)
        way = Provenance(PATH, int(clock()), sender=visitor_id)
        try:
            entries = split_events(body)
        except UnreadableBatch as error:
            whole = Rejected(0, "body", str(error), body)
            await publisher.take_events([], [whole], way)
            raise UnreadableBody(f'expected {{"events": […]}}: {error}') from None
        if len(entries) > MAX_BATCH_EVENTS:
            raise TooLarge(
                f"{len(entries)} events, at most {MAX_BATCH_EVENTS} are taken: send smaller batches"
            )
        count_events(request, len(entries))
        metrics.batch_events.observe(len(entries))
        verdict = validate_events(entries, received_at=way.received_at, visitor_id=visitor_id)
        if current_span() is not None:
            _record_page(tracer, request, verdict.accepted, way.received_at)
        try:
            await publisher.take_events(verdict.accepted, verdict.rejected, way)
        except RefusedByKafka as refusal:
            metrics.events_rejected.labels("broker").inc(len(refusal.refused))
            return answer_of_refusal(refusal, verdict.accepted, verdict.rejected)
        return answer_of(len(verdict.accepted), verdict.rejected)

    return router


def _record_page(tracer: Tracer, request: Request, accepted: Sequence[Event], received_at: float) -> None:
    """Of a page that has begun the trace: from its first event, by its own clock, until that was here."""
    page = parse(request.headers.get(TRACEPARENT))
    if page is not None and accepted and is_of_page(page, request.headers.get(TRACESTATE)):
        first = min(accepted, key=lambda event: event.occurred_at)
        tracer.record_page(page, first.type, first.occurred_at, received_at)
