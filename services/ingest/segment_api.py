"""POST /v1/batch, /v1/track and their like: what Segment's and RudderStack's SDKs send, and ask before."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES
from services.ingest.events import Clock
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_BATCH, DESCRIPTIONS_OF_CALLS
from services.ingest.publisher import Publisher
from services.ingest.responses import (
    NoMessageAcceptable,
    SegmentAnswer,
    SegmentSettings,
    SourceConfig,
    describe_outdated,
    describe_rejected,
    json_response,
)
from services.ingest.segment.identity import IdentityPolicy, MessageSender
from services.ingest.segment.mapping import validate_messages
from services.ingest.segment.messages import KINDS, Kind, Parcel, frame_of, split_batch, split_call
from services.ingest.validation import Provenance, Rejected, UnreadableBatch
from services.tracing.port import NULL_TRACER, Tracer
from services.tracing.requests import trace_requests
from services.web.auth import VisitorAuth
from services.web.problems import Problem
from services.web.requests import TooLarge, UnreadableBody, read_body
from services.web.routes import DirectRoute


def segment_routes(
    door: VisitorAuth,
    publisher: Publisher,
    metrics: Metrics,
    clock: Clock,
    policy: IdentityPolicy,
    *,
    tracer: Tracer = NULL_TRACER,
) -> APIRouter:
    """The routes of Segment's HTTP tracking API.

    SDKs try again after 429 and 5xx and drop what got another error, so each message is judged on its own:
    the refused ones lie in `events.dlq`. A call that is refused is answered 400, a batch always 200.
    """
    router = APIRouter(tags=["segment"], route_class=DirectRoute)
    take = _Taking(door, publisher, metrics, clock, policy)

    @router.post(BATCH, **DESCRIPTION_OF_BATCH)
    @trace_requests(tracer, BATCH)
    async def post_batch(request: Request) -> Response:
        """Takes messages of every kind. 200 means that Kafka has all events and joins that they make."""
        return await take(request, BATCH, split_batch, None, MAX_BATCH_BYTES)

    for path in ALSO_BATCH:
        router.post(path, include_in_schema=False)(post_batch)
    for kind in KINDS:
        endpoint = trace_requests(tracer, f"/v1/{kind}")(_call(take, kind))
        router.post(f"/v1/{kind}", name=f"post_{kind}", **DESCRIPTIONS_OF_CALLS[kind])(endpoint)
        # analytics.js sends to the first letter: /v1/t is /v1/track.
        router.post(f"/v1/{kind[0]}", include_in_schema=False)(endpoint)

    @router.post("/v1/m", include_in_schema=False)
    async def post_measurements(request: Request) -> Response:
        """Takes what analytics.js measures of itself, which nobody here reads."""
        await read_body(request, MAX_EVENT_BYTES, None)
        return json_response(SegmentAnswer(accepted=0, ignored=1, rejected=[]), 200)

    _add_configurations(router, door)
    return router


BATCH: Final = "/v1/batch"
# What SDKs call it besides: analytics.js, Segment's import of history, RudderStack's beacon.
ALSO_BATCH: Final = ("/v1/b", "/v1/import", "/beacon/v1/batch")


def _add_configurations(router: APIRouter, door: VisitorAuth) -> None:
    """What SDKs ask for before they send: nothing is sent on to others from the page, all goes here."""

    async def get_source_config(request: Request) -> Response:
        """As RudderStack's SDKs read it. HEAD, without a key, is how they look for ad blockers."""
        with _as_sdks_read_it():
            door.shows_write_key(request)  # a wrong one is refused here already, where people look first
        return json_response(SourceConfig(), 200)

    async def get_settings(request: Request) -> Response:
        """As Segment's SDKs read it where their `cdnURL` is ingest's address."""
        write_key = str(request.path_params["write_key"])
        with _as_sdks_read_it():
            door.require_sender(write_key, shown=True)
        base = request.base_url
        host = f"{base.netloc}{base.path.rstrip('/')}/v1"
        return json_response(SegmentSettings.of(write_key, host, base.scheme), 200)

    for path in ("/sourceConfig", "/sourceConfig/"):
        router.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(get_source_config)
    router.get("/v1/projects/{write_key}/settings", include_in_schema=False)(get_settings)


def _call(take: "_Taking", kind: Kind) -> Callable[[Request], Awaitable[Response]]:
    async def post_call(request: Request) -> Response:
        return await take(request, f"/v1/{kind}", split_call, kind, MAX_EVENT_BYTES)

    return post_call


class _Taking:
    """One body, from its first byte until Kafka has what it says."""

    def __init__(
        self,
        door: VisitorAuth,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        policy: IdentityPolicy,
    ) -> None:
        self._door = door
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._policy = policy

    async def __call__(
        self,
        request: Request,
        source: str,  # one path for all that take the same, so that dead letters know them all
        split: Callable[[bytes], Parcel],
        kind: Kind | None,
        limit: int,
    ) -> Response:
        with _as_sdks_read_it():
            sender = MessageSender(self._door.is_back_end(request), self._door.visitor_of(request))
            shown = self._door.shows_write_key(request) or sender.visitor_id is not None
            # JSON under any name: RudderStack's Node SDK calls it a form, beacons call it text.
            body = await read_body(request, limit, None)
            received_at = int(self._clock())
            try:
                parcel = split(body)
            except UnreadableBatch as error:
                self._door.require_sender(None, shown=shown)
                whole = Rejected(0, "body", str(error), body)
                await self._publisher.take_events([], [whole], Provenance(source, received_at))
                raise UnreadableBody(f"expected what Segment's {source} takes: {error}") from None
            self._door.require_sender(parcel.write_key, shown=shown)
            way = Provenance(source, received_at, sender=sender.visitor_id, frame=frame_of(parcel))
            return await self._take(parcel, kind, way, sender)

    async def _take(
        self, parcel: Parcel, kind: Kind | None, way: Provenance, sender: MessageSender
    ) -> Response:
        if len(parcel.entries) > MAX_BATCH_EVENTS:
            raise TooLarge(f"{len(parcel.entries)} messages, at most {MAX_BATCH_EVENTS} are taken")
        self._metrics.batch_events.observe(len(parcel.entries))
        messages = validate_messages(
            parcel, received_at=way.received_at, kind=kind, sender=sender, policy=self._policy
        )
        outdated = await self._publisher.take_events(messages.events, messages.rejected, way, messages.joins)
        for join in messages.joins:
            self._metrics.identity_proofs.labels(join.proof).inc()
        for ignored, times in messages.ignored.items():
            self._metrics.messages_ignored.labels(ignored).inc(times)
        rejected = describe_rejected(messages.rejected)
        is_refused = bool(rejected) and len(rejected) == len(parcel.entries)
        # Batches come from SDKs: RudderStack's for Node throws any 4xx where nobody catches it, and one bad
        # message, which often comes alone, would end the shop's process.
        if is_refused and kind is not None:
            raise NoMessageAcceptable("none of the messages can be taken", fields={"rejected": rejected})
        ignored_count = messages.ignored.total()
        answer = SegmentAnswer(
            success=not is_refused,
            accepted=messages.accepted,
            ignored=ignored_count,
            rejected=rejected,
            outdated=describe_outdated(outdated) if outdated else msgspec.UNSET,
        )
        return json_response(answer, 200)


@contextmanager
def _as_sdks_read_it() -> Iterator[None]:
    """RudderStack's Python SDK looks for `code` and `message` in an error and takes a body without them for
    a broken connection: it would send the same ten times again."""
    try:
        yield
    except Problem as problem:
        problem.fields |= {"code": problem.kind, "message": problem.detail}
        raise
