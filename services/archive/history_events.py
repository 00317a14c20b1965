"""An event of the past as those who read millions of them need it: some fields, held to the same rules."""

from operator import attrgetter
from typing import Final

import msgspec

from schemas.events import EventId, EventType, Millis, Name, ProductId, VisitorId, find_id
from schemas.topics import EVENTS
from schemas.unreadable import read
from services.kafka.messages import MessageType


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
    order_id: Name | None = None
    recommendation_id: Name | None = None
    product_id: ProductId | None = None
    items: tuple[Line, ...] = ()

    def products(self) -> tuple[str, ...]:
        """Ids of all products the event is about, each once, in the event's order."""
        named = (self.product_id,) if self.product_id else ()
        if not self.items:
            return named
        return tuple(dict.fromkeys((*named, *(line.product_id for line in self.items))))


_decode = msgspec.json.Decoder(HistoryEvent).decode


def decode(raw: bytes) -> HistoryEvent:
    """From the bytes of one message on `events`. Raises Unreadable."""
    event = read(_decode, raw)
    if event.order_id is None:
        return event
    # As schemas.events.decode has it.
    return msgspec.structs.replace(event, event_id=find_id(event.event_id, event.type, event.order_id))


HISTORY_EVENT: Final[MessageType[HistoryEvent]] = MessageType(
    EVENTS, decode, attrgetter("visitor_id"), "occurred_at"
)
