"""What was shown to a visitor, why, and by which model and variant, on the topic `recommendations` (JSON)."""

import msgspec

from schemas.live import SlotKind, Source
from schemas.unreadable import read


class ShownItem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One product of a row, in its order.

    `propensity` is the probability with which it stood at its place, where chance had a say there; None where
    it had none.
    """

    product_id: str
    score: float
    source: Source
    propensity: float | None = None


class Shown(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An impression: one row that was sent to one visitor's page.

    `recommendation_id` is what clicks name; `shown_at` is Unix time in ms. `product_id` is the product that
    the row is about, `query` the words that were searched for. `models` as in the row itself.
    """

    recommendation_id: str
    visitor_id: str
    slot: str
    kind: SlotKind
    shown_at: int
    items: tuple[ShownItem, ...]
    models: dict[str, str] = {}
    product_id: str | None = None
    query: str | None = None
    caused_by: str | None = None
    fallback: str | None = None
    experiments: dict[str, str] = {}  # experiment → variant


_decoder = msgspec.json.Decoder(Shown)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Shown:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(shown: Shown) -> bytes:
    """The bytes of one message on `recommendations`."""
    return _encoder.encode(shown)
