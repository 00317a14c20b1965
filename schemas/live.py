"""The live protocol of `WS /v1/live`; the recommender's HTTP API answers with the same items."""

from typing import Annotated, Final, Literal

import msgspec

from schemas.events import EventType
from schemas.products import Availability

SlotKind = Literal[
    "for_you", "similar", "popular", "also_liked", "complement_topic", "complement_type", "search", "products"
]
# `relaxed`: near what was asked for, without all its wished-for words; `rule`: pinned by the shop; `named`:
# the page asked for this very product, or the shopper typed its name.
Source = Literal["content", "behaviour", "popular", "relaxed", "rule", "named"]
# Why a row is not what was asked for: the visitor is new to us, the product unknown, or without vectors; no
# past visits tell what goes with it; the index, or what turns words into vectors, does not answer.
Fallback = Literal["new_visitor", "unknown_product", "no_vectors", "no_behaviour", "index_away", "words_away"]
QUERY_MAX: Final = 200  # characters of a search
NAMED_MAX: Final = 100  # products that a page asks for by id
ABOUT_A_PRODUCT: Final = frozenset({"similar", "also_liked", "complement_topic", "complement_type"})


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One row on the page that the client wants kept fresh.

    `product_id` is what the row is about, for kinds that are; `query` the words of a search; `category` a
    path or its beginning, such as Women/Shoes, that all products of the row are in. `product_ids` are for
    kind `products`: these very products as they are now, sold out or not, for what a page shows by itself.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: SlotKind
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 12
    product_id: str | None = None
    query: Annotated[str, msgspec.Meta(max_length=QUERY_MAX)] | None = None
    category: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    product_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=NAMED_MAX)] = ()


class Subscribe(msgspec.Struct, frozen=True, omit_defaults=True, tag="subscribe", tag_field="type"):
    """Client to server: replaces what this socket was subscribed to.

    `token` is the visitor's; the first message has it, and a later one with a newer token lets the socket
    live longer. A socket ends when its token does.
    """

    slots: Annotated[tuple[Slot, ...], msgspec.Meta(min_length=1, max_length=16)]
    token: str | None = None


def check(subscribe: Subscribe) -> str | None:
    """Why a well-formed subscription still makes no sense, as a sentence for its sender, or None."""
    names: set[str] = set()
    for slot in subscribe.slots:
        if slot.name in names:
            return f"two slots are called {slot.name!r}: rows come by their slot's name, give each its own"
        names.add(slot.name)
        if slot.kind in ABOUT_A_PRODUCT and not slot.product_id:
            return f"slot {slot.name!r} of kind {slot.kind} needs a product_id"
        if slot.kind == "search" and not slot.query:
            return f"slot {slot.name!r} of kind search needs a query"
        if slot.kind == "products" and not slot.product_ids:
            return f"slot {slot.name!r} of kind products needs product_ids"
    return None


class Cause(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The visitor's own event that weighs most for a product; `occurred_at` is Unix time in ms."""

    type: EventType
    product_id: str
    occurred_at: int


class RecommendedItem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One recommended product with what a page needs to draw it, and why it is there.

    `parts` are weight · cosine of each segment of the vector, in rows by content, where explanations were
    asked for; `cause` is the event behind `why`. `rules` names the shop's rules that moved the product.
    """

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
    cause: Cause | None = None
    parts: dict[str, float] | None = None
    rules: tuple[str, ...] = ()


class Timing(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The way of the event that caused a push, as Unix times in ms with fractions."""

    pushed_at: float
    accepted_at: float | None = None
    folded_at: float | None = None


class Recommendations(
    msgspec.Struct, frozen=True, omit_defaults=True, tag="recommendations", tag_field="type", kw_only=True
):
    """Server to client: the newest state of one slot. `seq` only grows on one socket.

    `models` names what made the vectors, and as `behaviour` the version of the model that served when a row
    of kind `for_you` was made. `recommendation_id` is what clicks on it name. `fallback` tells why the row is
    not what was asked for, `notice` in a sentence what there is to know, such as that filters leave too few.
    `experiments` are the visitor's: experiment → variant.
    """

    slot: str
    seq: int
    items: tuple[RecommendedItem, ...]
    models: dict[str, str]
    caused_by: str | None = None
    timing: Timing | None = None
    recommendation_id: str | None = None
    fallback: Fallback | None = None
    notice: str | None = None
    experiments: dict[str, str] = {}


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    """Client to server: is anybody there? A browser is not told of a path that has died without a word."""


class Pong(msgspec.Struct, frozen=True, tag="pong", tag_field="type"):
    """Server to client: the answer to a ping."""


class ProtocolError(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """Server to client: what was wrong with the client's message; the socket stays open."""

    detail: str
