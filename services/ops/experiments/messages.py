"""Of events and impressions the fields that a report needs, held to the rules of the whole messages."""

import msgspec

from schemas.events import Amount, Currency, Name
from services.history import past_events


class Line(past_events.Line, frozen=True, gc=False):
    """One line of a list, cart or order."""

    quantity: int | None = None
    price: Amount | None = None


class PastEvent(past_events.PastEvent, frozen=True, gc=False, kw_only=True):
    """Also what an event was worth, and the row that it came from."""

    items: tuple[Line, ...] = ()
    value: float | None = None
    currency: Currency | None = None
    recommendation_id: Name | None = None

    def worth(self) -> float | None:
        """What an order comes to: its value, else its lines' prices; None where some line has no price."""
        if self.value is not None:
            return self.value
        prices = [line.price for line in self.items if line.price is not None]
        if not self.items or len(prices) < len(self.items):
            return None
        return sum(price * (line.quantity or 1) for price, line in zip(prices, self.items, strict=True))


class PastItem(msgspec.Struct, frozen=True, gc=False):
    """Of a schemas.impressions.ShownItem."""

    product_id: str


class PastRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of a schemas.impressions.Shown."""

    recommendation_id: str
    visitor_id: str
    slot: str
    shown_at: int
    items: tuple[PastItem, ...]
    experiments: dict[str, str] = {}  # experiment → variant


_decode_event = msgspec.json.Decoder(PastEvent).decode
_decode_row = msgspec.json.Decoder(PastRow).decode


def event(raw: bytes) -> PastEvent:
    """From the bytes of one message on `events`. Raises msgspec.ValidationError or DecodeError."""
    return _decode_event(raw)


def row(raw: bytes) -> PastRow:
    """From the bytes of one message on `recommendations`. Raises msgspec.ValidationError or DecodeError."""
    return _decode_row(raw)
