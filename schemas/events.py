"""A shopper's event as it lies on the `events` topic (JSON), and what a browser may send."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec

from schemas import texts, times
from schemas.unreadable import read


class EventKind(NamedTuple):
    """What is known of a type of event; every place that tells types apart reads it here.

    `weight` is what it counts in a session unless a setting says otherwise: None for what is no sign of
    taste and not remembered, below 0 for what speaks against a product. An event of a `cart` has lines with
    quantities and prices; a `click` is about one product that the visitor went to.
    """

    done: str  # for operators: "a visitor …"
    done_by_you: str  # for shoppers, as a heading of their own history
    because_you: str = "looked at"  # for shoppers, before the product's name
    needs_product: bool = True
    needs_query: bool = False  # such an event is about no product
    is_click: bool = False
    is_cart: bool = False
    weight: float | None = None


# By their names in GA4, which has none for `dismiss_item`. New ones come at the end: their places are
# numbers in stored sessions (KINDS). Then run `python -m infra.event_types`, for the browser's part.
EVENT_TYPES: Final[Mapping["EventType", EventKind]] = MappingProxyType(
    {
        "view_item_list": EventKind("saw in a list", "Saw in a list", needs_product=False),
        "select_item": EventKind("picked from a list", "Clicked", is_click=True, weight=0.5),
        "view_item": EventKind("looked at", "Looked at", is_click=True, weight=0.5),
        "add_to_cart": EventKind(
            "added to cart", "Put in the cart", "put in your cart:", is_cart=True, weight=0.7
        ),
        "remove_from_cart": EventKind("removed from cart", "Took out of the cart", is_cart=True, weight=-0.5),
        "add_to_wishlist": EventKind("saved for later", "Saved", "saved", weight=0.7),
        "begin_checkout": EventKind(
            "began to check out", "Went to check out with", needs_product=False, is_cart=True
        ),
        "purchase": EventKind("bought", "Bought", "bought", is_cart=True, weight=1.0),
        "search": EventKind("searched", "Searched", needs_product=False, needs_query=True),
        "dismiss_item": EventKind("wanted less like", "Asked for less like", weight=-1.0),
    }
)

if TYPE_CHECKING:  # which reads no table, but complains of a row whose name is missing here
    EventType = Literal[
        "view_item_list",
        "select_item",
        "view_item",
        "add_to_cart",
        "remove_from_cart",
        "add_to_wishlist",
        "begin_checkout",
        "purchase",
        "search",
        "dismiss_item",
    ]
else:
    EventType = Literal[tuple(EVENT_TYPES)]

CLICKS: Final = frozenset(type_ for type_, kind in EVENT_TYPES.items() if kind.is_click)

MAX_EVENT_BYTES: Final = 32 * 1024
MAX_BATCH_BYTES: Final = 500 * 1024
MAX_BATCH_EVENTS: Final = 2_500

END: Final = r"$(?!\n)"  # `$` alone also matches before a last line feed
ULID_OR_UUID: Final = (
    r"^(?:[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{26}"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})" + END
)
_event_id: Final = re.compile(ULID_OR_UUID)


def is_event_id(text: str) -> bool:
    """Whether a text is the id of an event."""
    return _event_id.match(text) is not None


EventId = Annotated[str, msgspec.Meta(pattern=ULID_OR_UUID)]
VisitorId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}" + END)]
ProductId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
LATEST_MS: Final = 4_102_444_800_000  # the year 2100
Millis = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]  # Unix time in ms
Amount = Annotated[float, msgspec.Meta(ge=0)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}" + END)]


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a list, cart or order."""

    product_id: ProductId
    quantity: Annotated[int, msgspec.Meta(ge=1)] | None = None
    price: Amount | None = None


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where in the shop, and in which browser, an event happened."""

    page: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    referrer: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    locale: Name | None = None
    device: Name | None = None


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One event. `event_id` is the idempotency key: it is made once, in the browser, and kept over retries.

    `occurred_at` is the client's clock and `received_at` the server's, both Unix time in ms. With an
    `order_id` a purchase or checkout has the id that follows from it: see `with_order`.
    """

    event_id: EventId
    type: EventType
    visitor_id: VisitorId
    occurred_at: Millis
    received_at: Millis | None = None
    session_id: Name | None = None
    user_id: Name | None = None
    product_id: ProductId | None = None
    items: tuple[Item, ...] = ()
    value: float | None = None
    currency: Currency | None = None
    order_id: Name | None = None
    list_id: Name | None = None
    recommendation_id: Name | None = None
    query: Name | None = None
    context: Context | None = None

    def products(self) -> tuple[str, ...]:
        """Ids of all products the event is about, each once, in the event's order."""
        named = (self.product_id,) if self.product_id else ()
        return tuple(dict.fromkeys((*named, *(item.product_id for item in self.items))))


def check(event: Event) -> str | None:
    """Why a well-formed event still makes no sense, as a sentence for its sender, or None."""
    kind = EVENT_TYPES[event.type]
    if kind.needs_product and not event.products():
        return f"{event.type} needs a product_id or at least one item"
    if kind.needs_query and not event.query:
        return f"{event.type} needs a query"
    if event.type == "purchase" and event.value is not None and event.value < 0:
        return f"value: {event.value:g} is below 0; a refund is no purchase"
    named = [("product_id", each) for each in event.products()]
    named += [(field, getattr(event, field)) for field in NAMES]
    return texts.check_names(named) or times.check("occurred_at", event.occurred_at)


NAMES: Final = ("user_id", "session_id", "order_id", "list_id", "recommendation_id")
ORDERED: Final = frozenset({"begin_checkout", "purchase"})
# What scripts send where they have no number: all orders of a shopper would be one.
NO_ORDERS: Final = frozenset({"", "0", "null", "none", "nan", "undefined", "(not set)", "[object object]"})


def with_order(event: Event) -> Event:
    """The event under the id that follows from its order, so that it counts once, by whatever way it is told
    and however often. Other events, and orders without a number, keep their ids."""
    if event.order_id is None:
        return event
    event_id = find_id(event.event_id, event.type, event.order_id)
    return event if event_id == event.event_id else msgspec.structs.replace(event, event_id=event_id)


def find_id(event_id: str, type_: "EventType", order_id: str | None) -> str:
    """The id that follows from an event's order, else its own."""
    order = (order_id or "").strip()
    is_ordered = type_ in ORDERED and order.casefold() not in NO_ORDERS
    return id_of_order(type_, order) if is_ordered else event_id


def id_of_order(type_: "EventType", order: str) -> str:
    """A ULID that sorts after all that are made from a time.

    Never to change: pages with a tracker.js of before `order_id` make the same one of GA4's transaction_id.
    """
    name = f"{type_} {order}".encode()
    parts = (_hash(name, seed) for seed in range(5))
    return "7" + "".join(CROCKFORD[bits >> place & 31] for bits in parts for place in range(0, 25, 5))


CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # the digits of ULIDs
_32_BITS: Final = 0xFFFFFFFF


def _hash(name: bytes, seed: int) -> int:
    """32 bits of a text: FNV-1a from a seed, stirred as MurmurHash3 ends."""
    bits = 0x811C9DC5 ^ ((seed + 1) * 0x9E3779B1 & _32_BITS)
    for byte in name:
        bits = (bits ^ byte) * 0x01000193 & _32_BITS
    bits = (bits ^ bits >> 16) * 0x85EBCA6B & _32_BITS
    bits = (bits ^ bits >> 13) * 0xC2B2AE35 & _32_BITS
    return bits ^ bits >> 16


def clean(event: Event) -> Event:
    """The event without control characters in what people typed or browsers say."""
    context, query = event.context, texts.clean(event.query)
    if context is not None:
        cleaned = Context(
            texts.clean(context.page),
            texts.clean(context.referrer),
            texts.clean(context.locale),
            texts.clean(context.device),
        )
        context = context if cleaned == context else cleaned
    if query == event.query and context is event.context:
        return event
    return msgspec.structs.replace(event, query=query, context=context)


def clamp(event: Event, received_at: int) -> Event:
    """The event stamped with the server's time; a client clock over 5 minutes ahead is set back to it."""
    occurred_at = times.clamp(event.occurred_at, received_at)
    return msgspec.structs.replace(event, received_at=received_at, occurred_at=occurred_at)


def is_visitor_id(text: str) -> bool:
    """Whether a text may name a visitor."""
    return re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", text) is not None


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Event:
    """An event from the bytes of one topic message. Raises Unreadable.

    Ingest has named it after its order already; who writes to the topic without ingest may not have.
    """
    return with_order(read(_decoder.decode, raw))


def encode(event: Event) -> bytes:
    """The bytes of one message on `events`."""
    return _encoder.encode(event)
