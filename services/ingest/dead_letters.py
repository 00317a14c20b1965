"""POST /v1/dead-letters: `services.ops dlq` sends refused entries again, as they came and when they came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.deadletters import MAX_RETURN_BYTES, RETURN_PATH, Frame, Return, Returned, Verdict, Verdicts
from schemas.events import MAX_BATCH_EVENTS, Event
from schemas.identities import visitor_of
from services.ingest.publisher import Publisher
from services.ingest.responses import json_response
from services.ingest.segment.identity import IdentityLink
from services.ingest.segment.mapping import validate_messages
from services.ingest.segment.messages import KINDS, Parcel, split_batch, split_call
from services.ingest.validation import (
    Provenance,
    Rejected,
    UnreadableBatch,
    decode_body,
    split_events,
    validate_events,
)
from services.tracing.port import NULL_TRACER, Tracer
from services.tracing.requests import trace_requests
from services.web.auth import VisitorAuth
from services.web.problems import NotAuthorised
from services.web.requests import JSON, UnreadableBody, read_body
from services.web.routes import DirectRoute

EVENTS_PATH: Final = "/v1/events"
BATCH_PATH: Final = "/v1/batch"
KIND_OF: Final = {f"/v1/{kind}": kind for kind in KINDS}
PATHS: Final = frozenset({EVENTS_PATH, BATCH_PATH, *KIND_OF})


@dataclass(frozen=True, slots=True)
class Revalidation:
    """What a letter comes to; `way` is how it came, with the number of this attempt."""

    letter: Returned
    way: Provenance
    accepted: int = 0
    events: list[Event] = field(default_factory=list)
    joins: list[IdentityLink] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """As it is answered."""
        whose, joins = {event.visitor_id for event in self.events}, dict[str, int]()
        for join in self.joins:
            visitor_id, at = join.identity.visitor_id, join.identity.occurred_at
            whose |= {visitor_id, visitor_of(join.identity.user_id)}
            joins[visitor_id] = max(at, joins.get(visitor_id, 0))
        reasons = [each.reason for each in self.rejected]
        return Verdict(self.letter.letter, self.accepted, reasons, sorted(whose), joins)

    @property
    def joins_to_write(self) -> list[IdentityLink]:
        """But for those of whom something newer is known: the topic is compacted and would forget that."""
        return [join for join in self.joins if join.identity.visitor_id not in self.letter.joined]


def revalidate(letter: Returned) -> Revalidation:
    """What today's code makes of a letter: the same each time, so that a second time changes nothing."""
    way = Provenance(letter.path, letter.received_at, letter.sender, letter.frame, letter.attempts)
    if letter.path not in PATHS:
        reason = f"no letter can have come by {letter.path[:64]}: expected one of {', '.join(sorted(PATHS))}"
        return Revalidation(letter, way, rejected=[Rejected(0, "body", reason, letter.raw)])
    try:
        return _of_events(letter, way) if letter.path == EVENTS_PATH else _of_messages(letter, way)
    except UnreadableBatch as error:
        return Revalidation(letter, way, rejected=[Rejected(0, "body", str(error), letter.raw)])


def _of_events(letter: Returned, way: Provenance) -> Revalidation:
    entries = split_events(letter.raw) if letter.whole else [msgspec.Raw(letter.raw)]
    _check_count(entries)
    verdict = validate_events(entries, received_at=letter.received_at, visitor_id=letter.sender)
    return Revalidation(letter, way, len(verdict.accepted), verdict.accepted, [], verdict.rejected)


def _of_messages(letter: Returned, way: Provenance) -> Revalidation:
    kind = KIND_OF.get(letter.path)
    if letter.whole:
        parcel = split_batch(letter.raw) if kind is None else split_call(letter.raw)
    else:
        frame = letter.frame or Frame()
        entry = msgspec.Raw(with_id(letter.raw, letter.letter))
        parcel = Parcel([entry], sent_at=frame.sent_at, context=frame.context or {})
    _check_count(parcel.entries)
    found = validate_messages(parcel, received_at=letter.received_at, kind=kind)
    return Revalidation(letter, way, found.accepted, found.events, found.joins, found.rejected)


def with_id(raw: bytes, letter: str) -> bytes:
    """A message that names neither itself nor a time is named after its letter.

    When it came, it would have been named after the moment and its place among the others of that moment;
    the others are not here.
    """
    try:
        told = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return raw
    if any(bytes(told.get(name, b"null")) not in {b"null", b'""'} for name in NAMING):
        return raw
    return msgspec.json.encode({**told, "messageId": f"dead letter {letter}"})


NAMING: Final = ("messageId", "timestamp", "originalTimestamp")


def _check_count(entries: list[msgspec.Raw]) -> None:
    if len(entries) > MAX_BATCH_EVENTS:
        raise UnreadableBatch(f"{len(entries)} entries, at most {MAX_BATCH_EVENTS} are taken")


_decoder: Final = msgspec.json.Decoder(Return)


def dead_letter_routes(
    door: VisitorAuth,
    publisher: Publisher,
    clock: Callable[[], float],
    tracer: Tracer = NULL_TRACER,
) -> APIRouter:
    """The route of letters; `clock` is in Unix ms.

    It is not in /docs: who sends here says when something came, and from whom.
    """
    router = APIRouter(route_class=DirectRoute)

    @router.post(RETURN_PATH, include_in_schema=False)
    @trace_requests(tracer, RETURN_PATH)
    async def post_dead_letters(request: Request) -> Response:
        """Judges letters again. What is taken is on `events` when this answers; what is refused again has a
        new letter, which counts the attempts. With `judge_only` nothing is written."""
        if "authorization" not in request.headers:
            raise NotAuthorised(
                "dead letters need the API key (Authorization: Bearer …), even where auth is optional"
            )
        door.require_back_end(request)
        body = await read_body(request, MAX_RETURN_BYTES, JSON)
        try:
            returned = decode_body(_decoder.decode, body)
        except UnreadableBatch as error:
            raise UnreadableBody(f'expected {{"letters": […]}}: {error}') from None
        found = [revalidate(letter) for letter in returned.letters]
        if not returned.judge_only:
            await _publish(publisher, found, int(clock()))
        return json_response(Verdicts([each.verdict for each in found]), 200, cached=False)

    return router


async def _publish(publisher: Publisher, found: Sequence[Revalidation], at: int) -> None:
    await publisher.take_requeued(
        [event for each in found for event in each.events],
        [(rejected, each.way) for each in found for rejected in each.rejected],
        [join for each in found for join in each.joins_to_write],
        at=at,
    )
