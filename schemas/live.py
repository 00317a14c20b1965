"""The live protocol of `WS /v1/live`; the recommender's HTTP API answers with the same items."""

from typing import Annotated, Literal

import msgspec

from schemas.products import Availability

SlotKind = Literal["for_you", "similar", "popular"]
Source = Literal["content", "behaviour", "popular"]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One row on the page that the client wants kept fresh. `product_id` is needed by kind `similar`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: SlotKind
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 12
    product_id: str | None = None


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", tag_field="type"):
    """Client to server: replaces what this socket was subscribed to."""

    slots: Annotated[tuple[Slot, ...], msgspec.Meta(min_length=1, max_length=16)]


def check(subscribe: Subscribe) -> str | None:
    """Why a well-formed subscription still makes no sense, as a sentence for its sender, or None."""
    for slot in subscribe.slots:
        if slot.kind == "similar" and not slot.product_id:
            return f"slot {slot.name!r} of kind similar needs a product_id"
    return None


class RecommendedItem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One recommended product with what a page needs to draw it, and why it is there."""

    product_id: str
    score: float
    source: Source
    why: str
    name: str
    price: float
    currency: str
    availability: Availability
    category: tuple[str, ...] = ()
    brand: str | None = None
    image_url: str | None = None
    url: str | None = None


class Timing(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The way of the event that caused a push, as Unix times in ms with fractions."""

    pushed_at: float
    accepted_at: float | None = None
    folded_at: float | None = None


class Recommendations(msgspec.Struct, frozen=True, tag="recommendations", tag_field="type", kw_only=True):
    """Server to client: the newest state of one slot. `seq` only grows on one socket.

    `models` names what made the vectors, and as `behaviour` the version of the model that served when a row
    of kind `for_you` was made.
    """

    slot: str
    seq: int
    items: tuple[RecommendedItem, ...]
    models: dict[str, str]
    caused_by: str | None = None
    timing: Timing | None = None


class ProtocolError(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """Server to client: what was wrong with the client's message; the socket stays open."""

    detail: str
