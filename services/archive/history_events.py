"""An event of the past as those who read millions of them need it: some fields, held to the same rules."""

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from schemas import times
from schemas.events import EventId, EventType, Millis, ProductId, VisitorId


class Line(msgspec.Struct, frozen=True, gc=False):
    """Of one line of a list, cart or order, the product."""

    product_id: ProductId


class HistoryEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of a schemas.events.Event what it was about, whose it was and when."""

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


E = TypeVar("E", bound=HistoryEvent)

_decode = msgspec.json.Decoder(HistoryEvent).decode


def decode(raw: bytes, sent_at: int = 0) -> HistoryEvent:
    """From the bytes of one message on `events`, clamped as schemas.events.decode does.

    Raises msgspec.ValidationError or DecodeError.
    """
    return clamp(_decode(raw), sent_at)


def clamp(event: E, sent_at: int) -> E:
    """The event, of when its message was sent (Unix ms, 0: unknown) at the latest."""
    occurred_at = times.clamp(event.occurred_at, sent_at)
    return event if occurred_at == event.occurred_at else replace(event, occurred_at=occurred_at)
