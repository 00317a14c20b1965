"""Segment's messages as events and joins, each on its own merits. Pure: bytes in, verdicts out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from math import isfinite
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from schemas import events, texts, times
from schemas.events import (
    EVENT_TYPES,
    MAX_EVENT_BYTES,
    ULID_OR_UUID,
    Context,
    Event,
    EventType,
    Item,
)
from services.ingest.segment.identity import (
    ANY_POLICY,
    WRITE_KEY_HOLDER,
    IdentityLink,
    IdentityPolicy,
    MessageSender,
    identify,
    links_of,
)
from services.ingest.segment.messages import KINDS, Kind, Parcel, SegmentMessage
from services.ingest.validation import Refused, Rejected, decode_entry, validate_entries

# Names without their spaces, underscores and capitals: shops write all of them. The second part is the first
# version of the spec, which put the verb first.
SEGMENT_EVENTS: Final[Mapping[str, EventType]] = {
    "productlistviewed": "view_item_list",
    "productclicked": "select_item",
    "productviewed": "view_item",
    "productadded": "add_to_cart",
    "productremoved": "remove_from_cart",
    "productaddedtowishlist": "add_to_wishlist",
    "wishlistproductaddedtocart": "add_to_cart",
    "checkoutstarted": "begin_checkout",
    "ordercompleted": "purchase",
    "productssearched": "search",
    "viewedproductcategory": "view_item_list",
    "viewedproductlist": "view_item_list",
    "clickedproduct": "select_item",
    "viewedproduct": "view_item",
    "addedproduct": "add_to_cart",
    "removedproduct": "remove_from_cart",
    "addedproducttowishlist": "add_to_wishlist",
    "startedcheckout": "begin_checkout",
    "completedorder": "purchase",
    "searchedproducts": "search",
}
ID_MAX: Final = 128
NAME_MAX: Final = 256

Properties = Mapping[str, Any]


def type_of(name: str) -> EventType | None:
    """Our type of a Segment event, or None where it has nothing to do with products."""
    return SEGMENT_EVENTS.get(_plain(name))


def with_properties(event: Event, properties: Properties) -> Event:
    """The event with what the properties tell of products, money, list and query. Raises Refused.

    Prices, quantities, currencies and lines without a product that make no sense are left out: an order is
    worth more than the one line that is odd.
    """
    told = _by_plain_name(properties)
    products = [_by_plain_name(each) for each in _products(told)]
    lines = [item for each in products if (item := _item(each)) is not None]
    alone = _item(told)
    # Here the one product is a line of a cart or an order, with its quantity and price; else only looked at.
    if alone is not None and EVENT_TYPES[event.type].is_cart:
        lines = lines or [alone]
        alone = None
    return msgspec.structs.replace(
        event,
        product_id=None if alone is None else alone.product_id,
        items=tuple(lines),
        value=_value(told),
        currency=next(filter(None, (_currency(each.get("currency")) for each in (told, *products))), None),
        order_id=_order(told),
        list_id=text(told.get("listid"), NAME_MAX),
        recommendation_id=text(told.get("recommendationid"), NAME_MAX),
        query=text(told.get("query"), NAME_MAX),
    )


def text(value: object, max_length: int) -> str | None:
    """A text cut to a length; None where there is none."""
    return value[:max_length] if isinstance(value, str) and value else None


def _products(told: Properties) -> list[Properties]:
    lines = told.get("products")
    if lines is None:
        return []
    if not isinstance(lines, list):
        raise Refused("validate", "Expected `array` of products - at `$.properties.products`")
    return [line for line in lines if isinstance(line, dict)]


def _order(told: Properties) -> str | None:
    """The number of the order, or of the checkout that became one: texts, or numbers of a database."""
    numbers = _all(told, "orderid", "checkoutid")
    said = (str(each).strip()[:NAME_MAX] for each in numbers if isinstance(each, str | int))
    found = (each for each in said if each.casefold() not in events.NO_ORDERS)
    return next((each for each in found if not texts.check_names([("order_id", each)])), None)


def _item(told: Properties) -> Item | None:
    ids = (_product_id(each) for each in _all(told, "productid", "sku"))
    product_id = next((each for each in ids if each), None)
    if product_id is None:
        return None
    quantity, price = _number(told.get("quantity")), _number(told.get("price"))
    return Item(
        product_id=product_id,
        quantity=int(quantity) if quantity is not None and quantity >= 1 and quantity.is_integer() else None,
        price=price if price is not None and price >= 0 else None,
    )


def _product_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= ID_MAX:
        return None
    return None if texts.check_names([("product_id", value)]) else value


def _value(told: Properties) -> float | None:
    """What was sold or is in the cart: revenue is without tax and shipping, as GA4's value is."""
    numbers = (_number(each) for each in _all(told, "revenue", "value", "total"))
    return next((each for each in numbers if each is not None), None)


def _number(value: object) -> float | None:
    """A number, or a text that is one, as many shops send prices."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and abs(number) < 2**53 else None


def _currency(value: object) -> str | None:
    told = value.strip() if isinstance(value, str) else ""
    return told.upper() if re.fullmatch(r"[A-Za-z]{3}", told) else None


def _all(told: Properties, *names: str) -> Iterator[Any]:
    return (told[name] for name in names if told.get(name) is not None)


def _by_plain_name(properties: Properties) -> Properties:
    """productId and product_id are one name; of two values that are not null the first counts."""
    told: dict[str, Any] = {}
    for name, value in properties.items():
        if told.get(plain := _plain(name)) is None:
            told[plain] = value
    return told


@lru_cache(1024)  # shops use the same few dozen names
def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


URL_MAX: Final = 2048

# tracker.js knows these two. https://developer.mozilla.org/docs/Web/HTTP/Browser_detection_using_the_user_agent
MOBILE: Final = "mobile"
DESKTOP: Final = "desktop"
HANDHELD: Final = frozenset({"android", "ios", "phone", "mobile", "tablet"})


def context_of(told: Mapping[str, Any]) -> Context | None:
    """Page, referrer, locale and device as far as they are told in the form that they are meant to have."""
    page = told.get("page")
    page = page if isinstance(page, dict) else {}
    context = Context(
        page=text(page.get("path"), URL_MAX) or text(page.get("url"), URL_MAX),
        referrer=text(page.get("referrer"), URL_MAX) or _referrer(told.get("referrer")),
        locale=text(told.get("locale"), NAME_MAX),
        device=_device(told),
    )
    return None if context == Context() else context


def _referrer(told: object) -> str | None:
    return text(told.get("url") if isinstance(told, dict) else told, URL_MAX)


def _device(told: Mapping[str, Any]) -> str | None:
    """The kind of device; a whole user agent would tell people apart and the kinds hardly."""
    device = told.get("device")
    if isinstance(device, dict) and (kind := text(device.get("type"), NAME_MAX)):
        return MOBILE if kind.casefold() in HANDHELD else kind
    agent = told.get("userAgent")
    if not isinstance(agent, str) or not re.match(r"Mozilla/\d", agent):
        return None  # a library or a robot
    return MOBILE if "Mobi" in agent else DESKTOP


# Never to change: a message that is sent again is known by the id that follows from its own in here.
NAMESPACE: Final = UUID("eaca399a-368a-4c74-aff5-f6ef09a43d7e")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)


def event_time(message: SegmentMessage, sent_at: str | None, received_at: int) -> int:
    """Unix ms by our clock. `sent_at` is the whole batch's. Raises Refused.

    Segment: timestamp = receivedAt − (sentAt − originalTimestamp), since sending and receiving are taken to
    be the same moment on two clocks; the `timestamp` that comes in is the original one.
    https://www.twilio.com/docs/segment/connections/spec/common#timestamps
    A message with both has been through Segment, which has corrected `timestamp` already. Without a time it
    happens now; what is told to happen later than now does too, as with all events.
    """
    if message.timestamp and message.original_timestamp:
        happened = _unix_ms("timestamp", message.timestamp)
    elif said := message.original_timestamp or message.timestamp:
        original = _unix_ms("timestamp", said)
        sent = message.sent_at or sent_at
        happened = received_at - (_unix_ms("sentAt", sent) - original) if sent else original
    else:
        happened = received_at
    if nonsense := times.check("timestamp", happened):
        raise Refused("validate", nonsense)
    return times.clamp(happened, received_at)


def event_id(message: SegmentMessage, raw: bytes, received_at: int, number: int) -> str:
    """The messageId where events can have it, else a UUID that follows from it, or from the bytes.

    Bytes that name neither a message nor a time would be the same for the next view of the same product:
    these get an id from when they came, as the `number`th message then.
    """
    if message.message_id is not None and message.message_id != "":
        given = str(message.message_id)
        return given if re.match(ULID_OR_UUID, given) else str(uuid5(NAMESPACE, given))
    digest = blake2b(raw, digest_size=32).hexdigest()
    if message.timestamp or message.original_timestamp:
        return str(uuid5(NAMESPACE, digest))
    return str(uuid5(NAMESPACE, f"{digest} {received_at} {number}"))


def _unix_ms(name: str, said: str) -> int:
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise Refused("validate", f"{name}: {said[:64]!r} is no ISO 8601 time") from None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // MS


# What a message of these kinds says is about somebody; the others are only taken.
OF_SOMEBODY: Final = frozenset({"track", "identify"})


@dataclass(frozen=True, slots=True)
class Messages:
    """One body, sorted: a message is accepted when it makes an event or tells who is who."""

    accepted: int
    events: list[Event]
    joins: list[IdentityLink]
    ignored: Counter[Kind]
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class _MessageResult:
    kind: Kind
    event: Event | None
    joins: tuple[IdentityLink, ...]

    @property
    def says_something(self) -> bool:
        return self.event is not None or bool(self.joins)


_message = msgspec.json.Decoder(SegmentMessage)


def validate_messages(
    parcel: Parcel,
    *,
    received_at: int,
    kind: Kind | None = None,
    sender: MessageSender = WRITE_KEY_HOLDER,
    policy: IdentityPolicy = ANY_POLICY,
) -> Messages:
    """Events stamped with the server's time (Unix ms), joins, and the refused.

    `kind` is that of the path; without it each message names its own.
    """
    number = count()

    def read(entry: msgspec.Raw) -> _MessageResult:
        message = decode_entry(_message.decode, entry)
        of = kind or _kind_of(message)
        at = event_time(message, parcel.sent_at, received_at)
        whose = identify(message, policy.placeholders)
        if of in OF_SOMEBODY and whose is None:
            raise Refused("validate", f"{of} needs a userId or an anonymousId")
        if whose is not None:
            sender.require(whose.visitor_id)
        joins = links_of(message, of, whose, at, sender=sender, policy=policy)
        type_ = _type_of(message) if of == "track" else None
        if type_ is None or whose is None:
            return _MessageResult(of, None, joins)
        event = Event(
            event_id=event_id(message, bytes(entry), received_at, next(number)),
            type=type_,
            visitor_id=whose.visitor_id,
            user_id=whose.user_id,
            occurred_at=at,
            received_at=received_at,
            context=context_of({**parcel.context, **(message.context or {})}),
        )
        return _MessageResult(of, _sensible(with_properties(event, message.properties or {})), joins)

    verdict = validate_entries(parcel.entries, read, MAX_EVENT_BYTES)
    return Messages(
        accepted=sum(each.says_something for each in verdict.accepted),
        events=[each.event for each in verdict.accepted if each.event is not None],
        joins=[
            replace(join, index=place)
            for place, each in zip(verdict.places, verdict.accepted, strict=True)
            for join in each.joins
        ],
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
    if nonsense := events.check(event):
        raise Refused("validate", nonsense)
    return events.with_order(events.clean(event))
