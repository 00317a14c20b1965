"""What an archive reads in a message beside its bytes: whose it is, and the fields that analysts ask for."""

from typing import Final

import msgspec

from schemas.events import EventId, EventType, Millis, ProductId, VisitorId
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS, Topic
from services.history.erased import Erasures
from services.history.past import PastMessage

OF_VISITORS: Final = frozenset({EVENTS.name, EVENTS_DLQ.name, RECOMMENDATIONS.name})


class Line(msgspec.Struct, frozen=True, gc=False):
    """Of one line of a list, cart or order, the product."""

    product_id: ProductId


class EventFields(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of a schemas.events.Event, held to its rules."""

    event_id: EventId
    type: EventType
    visitor_id: VisitorId
    occurred_at: Millis
    received_at: Millis | None = None
    product_id: ProductId | None = None
    items: tuple[Line, ...] = ()

    def products(self) -> tuple[str, ...]:
        """Ids of all products the event is about, each once, in the event's order."""
        named = (self.product_id,) if self.product_id else ()
        if not self.items:
            return named
        return tuple(dict.fromkeys((*named, *(line.product_id for line in self.items))))


class _Stamps(msgspec.Struct, frozen=True, gc=False):
    """Of anything that a visitor did or was shown; a dead letter may have no more than a name."""

    visitor_id: str
    occurred_at: Millis | None = None
    received_at: Millis | None = None
    shown_at: Millis | None = None


class _Named(msgspec.Struct, frozen=True, gc=False):
    visitor_id: str


_decode_event = msgspec.json.Decoder(EventFields).decode
_decode_stamps = msgspec.json.Decoder(_Stamps).decode
_decode_named = msgspec.json.Decoder(_Named).decode


def event_fields(value: bytes | None) -> EventFields | None:
    """The fields of a message on `events`; None for what is no event."""
    try:
        return _decode_event(value or b"")
    except msgspec.MsgspecError:
        return None


def leaves_out(
    erasures: Erasures, topic: Topic, message: PastMessage, event: EventFields | None = None
) -> bool:
    """Whether a message is of a visitor who is to be forgotten: by its key, or by what it says."""
    if not erasures.until or topic.name not in OF_VISITORS:
        return False
    names, stamps = _said(message.value(), event)
    names.add((message.key() or b"").decode("utf-8", "replace"))
    stamps.append(max(0, message.timestamp()[1]))
    return any(erasures.leave_out(name, *stamps) for name in names)


def _said(value: bytes | None, event: EventFields | None) -> tuple[set[str], list[int | None]]:
    if event is not None:
        return {event.visitor_id}, [event.occurred_at, event.received_at]
    try:
        found = _decode_stamps(value or b"")
    except msgspec.MsgspecError:
        try:
            return {_decode_named(value or b"").visitor_id}, []
        except msgspec.MsgspecError:
            return set(), []
    return {found.visitor_id}, [found.occurred_at, found.received_at, found.shown_at]
