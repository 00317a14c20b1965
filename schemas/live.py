"""The live protocol of `WS /v1/live`; the recommender's HTTP API answers with the same items."""

from typing import Annotated, Final, Literal

import msgspec

from schemas.events import EventType
from schemas.objectives import OBJECTIVE_MAX
from schemas.objectives import check as check_objective
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
# What really put a product into a row. `co_visited`: visits hold it beside `product_id`; `complement`: the
# same, and it is of another kind; `alike`: visits hold it beside what is like it, never beside it itself;
# `content`: it is like `product_id`; `due`: it was bought before and is used up by now; `search`: it fits the
# words; the others as in Source.
ReasonKind = Literal[
    "co_visited", "complement", "alike", "content", "due", "search", "popular", "pinned", "named", "relaxed"
]
PageType = Literal["home", "category", "product", "search", "cart", "checkout", "order", "other"]
QUERY_MAX: Final = 200  # characters of a search
NAMED_MAX: Final = 100  # products that a page asks for by id
COMPLEMENTS: Final = frozenset({"complement_topic", "complement_type"})
ABOUT_A_PRODUCT: Final = COMPLEMENTS | {"similar", "also_liked"}


class PageContext(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Which page of the shop a row stands on: what it shows counts, but filters nothing.

    `category` is the path of a category page, as in Slot.
    """

    type: PageType = "other"
    category: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One row on the page that the client wants kept fresh.

    `product_id` is what the row is about, for kinds that are; `query` the words of a search; `category` a
    path or its beginning, such as Women/Shoes, that all products of the row are in. `product_ids` are for
    kind `products`: these very products as they are now, sold out or not, for what a page shows by itself;
    for complements: what the row goes with, where that is several, such as a cart.

    A `distinct` row leaves out what the rows before it on the page show. `objective` says what the order is
    for, as buy:0.7,click:0.3; None for the shop's own. `debug` asks for parts of scores and for the funnel.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: SlotKind
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 12
    product_id: str | None = None
    query: Annotated[str, msgspec.Meta(max_length=QUERY_MAX)] | None = None
    category: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    product_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=NAMED_MAX)] = ()
    distinct: bool = True
    page: PageContext | None = None
    objective: Annotated[str, msgspec.Meta(max_length=OBJECTIVE_MAX)] | None = None
    debug: bool = False


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
        if nonsense := check_objective(slot.objective):
            return f"slot {slot.name!r}: {nonsense}"
        if slot.kind in COMPLEMENTS and slot.product_ids:
            continue
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


class Reason(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a product is in its row, as data: a page makes a sentence of it.

    `cause` is the visitor's own event behind it; `product_id` what it was seen beside, is like or goes with,
    and `Recommendations.causes` has that product's name and price. `strength` is 0 to 1, comparable within
    one row and kind. `visits` are those that the model knows and that hold both. `query` are the words of a
    search.
    """

    kind: ReasonKind
    strength: float = 0.0
    cause: Cause | None = None
    product_id: str | None = None
    visits: int = 0
    query: str | None = None


class CauseProduct(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What sentences about a product need, which may be in no row of the page itself."""

    name: str
    price: float
    currency: str
    brand: str | None = None
    type: str | None = None
    url: str | None = None


class Funnel(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How a row came about: candidates of each source, how many each step left, and the ms it took."""

    sources: dict[str, int] = {}
    left: dict[str, int] = {}  # step → candidates after it, in the order of steps
    ms: dict[str, float] = {}


class RecommendedItem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One recommended product with what a page needs to draw it, and why it is there.

    `parts` are weight · cosine of each segment of the vector, in rows by content, where explanations were
    asked for; `reason` is why it is there, `why` and `cause` the same for pages that know no reasons. `rules`
    names the shop's rules that moved the product.
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
    reason: Reason | None = None


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
    `experiments` are the visitor's: experiment → variant. `causes` are the products that reasons name;
    `funnel` is there where the slot asked for it, `traceparent` (W3C) where the way of the event is traced.
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
    causes: dict[str, CauseProduct] = {}
    funnel: Funnel | None = None
    traceparent: str | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    """Client to server: is anybody there? A browser is not told of a path that has died without a word."""


class Pong(msgspec.Struct, frozen=True, tag="pong", tag_field="type"):
    """Server to client: the answer to a ping."""


class ProtocolError(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """Server to client: what was wrong with the client's message; the socket stays open."""

    detail: str
