"""Segment's messages as events and joins, each on its own merits. Pure: bytes in, verdicts out."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec

from schemas.events import MAX_EVENT_BYTES, Event, EventType, check
from services.ingest.batches import Refused, Rejected, decoded, sort_entries
from services.ingest.joins import Join, joins_of, who
from services.ingest.segment_context import context_of
from services.ingest.segment_messages import KINDS, Kind, Parcel, SegmentMessage
from services.ingest.segment_products import type_of, with_properties
from services.ingest.segment_stamps import event_id, occurred_at

# What a message of these kinds says is about somebody; the others are only taken.
OF_SOMEBODY: Final = frozenset({"track", "identify"})


@dataclass(frozen=True, slots=True)
class Messages:
    """One body, sorted: a message is accepted when it makes an event or tells who is who."""

    accepted: int
    events: list[Event]
    joins: list[Join]
    ignored: Counter[Kind]
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class _Reading:
    kind: Kind
    event: Event | None
    joins: tuple[Join, ...]

    @property
    def says_something(self) -> bool:
        return self.event is not None or bool(self.joins)


_message = msgspec.json.Decoder(SegmentMessage)


def sort_messages(parcel: Parcel, *, received_at: int, kind: Kind | None = None) -> Messages:
    """Events stamped with the server's time (Unix ms), joins, and the refused.

    `kind` is that of the path; without it each message names its own.
    """
    number = count()

    def read(entry: msgspec.Raw) -> _Reading:
        message = decoded(_message.decode, entry)
        of = kind or _kind_of(message)
        at = occurred_at(message, parcel.sent_at, received_at)
        whose = who(message)
        if of in OF_SOMEBODY and whose is None:
            raise Refused("validate", f"{of} needs a userId or an anonymousId")
        joins = joins_of(message, of, whose, at)
        type_ = _type_of(message) if of == "track" else None
        if type_ is None or whose is None:
            return _Reading(of, None, joins)
        event = Event(
            event_id=event_id(message, bytes(entry), received_at, next(number)),
            type=type_,
            visitor_id=whose.visitor_id,
            user_id=whose.user_id,
            occurred_at=at,
            received_at=received_at,
            context=context_of({**parcel.context, **(message.context or {})}),
        )
        return _Reading(of, _sensible(with_properties(event, message.properties or {})), joins)

    verdict = sort_entries(parcel.entries, read, MAX_EVENT_BYTES)
    return Messages(
        accepted=sum(each.says_something for each in verdict.accepted),
        events=[each.event for each in verdict.accepted if each.event is not None],
        joins=[join for each in verdict.accepted for join in each.joins],
        ignored=Counter(each.kind for each in verdict.accepted if not each.says_something),
        rejected=verdict.rejected,
    )


def _kind_of(message: SegmentMessage) -> Kind:
    for kind in KINDS:
        if kind == message.type:
            return kind
    told = "no type" if message.type is None else f"the type {message.type[:64]!r}"
    raise Refused("validate", f"a message of a batch has {told}: expected one of {', '.join(KINDS)}")


def _type_of(message: SegmentMessage) -> EventType | None:
    if not message.event:
        raise Refused("validate", "track needs the name of an event")
    return type_of(message.event)


def _sensible(event: Event) -> Event:
    if nonsense := check(event):
        raise Refused("validate", nonsense)
    return event
