"""Sorts a batch into what is acceptable and what is not, entry by entry. Pure: bytes in, verdicts out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

import msgspec

from schemas import events, products
from schemas.deadletters import Frame
from schemas.events import MAX_EVENT_BYTES, Event
from schemas.products import MAX_PRODUCT_BYTES, Product
from services.ingest.envelope import split_list, split_object

Stage = Literal["size", "decode", "validate", "visitor", "body", "broker"]

REASON_MAX: Final = 500  # characters: a decoder's message may quote the sender's whole input

T = TypeVar("T")


class UnreadableBatch(ValueError):
    """The body is not JSON, or not an object with the list that is expected."""


class NotJson(UnreadableBatch):
    """No decoder takes it; maybe for the sake of one entry."""


class Refused(ValueError):
    """One entry cannot be taken; `stage` says at which step that showed."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refused entry: its place in the batch, the step that refused it, why, and its bytes."""

    index: int
    stage: Stage
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Outdated:
    """An entry that is ignored for its age: its place in the batch, and what is newer."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """How entries came: what their dead letters keep, so that later they are judged as they would have been.

    `received_at` is Unix ms. `sender`: the one visitor whose events could come this way; None: anybody's.
    """

    path: str
    received_at: int
    sender: str | None = None
    frame: Frame | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Validated(Generic[T]):
    """The entries of one batch, in its order; `places` are those of the accepted."""

    accepted: list[T] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class _Events(msgspec.Struct):
    events: list[msgspec.Raw]


class _Products(msgspec.Struct):
    products: list[msgspec.Raw]


_events = msgspec.json.Decoder(_Events)
_products = msgspec.json.Decoder(_Products)
_event = msgspec.json.Decoder(Event)
_product = msgspec.json.Decoder(Product)


def split_events(body: bytes) -> list[msgspec.Raw]:
    """The entries of `{"events": […]}`, not yet looked into. Raises UnreadableBatch."""
    try:
        return decode_body(_events.decode, body).events
    except NotJson:
        if (entries := entries_of(split_object(body), "events")) is None:
            raise
        return entries


def split_products(body: bytes) -> list[msgspec.Raw]:
    """The entries of `{"products": […]}`, not yet looked into. Raises UnreadableBatch."""
    try:
        return decode_body(_products.decode, body).products
    except NotJson:
        if (entries := entries_of(split_object(body), "products")) is None:
            raise
        return entries


def entries_of(members: Mapping[str, bytes] | None, name: str) -> list[msgspec.Raw] | None:
    """The entries of a body's list, whatever is in them; None where there is no such list."""
    entries = split_list((members or {}).get(name, b""))
    return None if entries is None else [msgspec.Raw(each) for each in entries]


def validate_events(
    entries: Sequence[msgspec.Raw], *, received_at: int, visitor_id: str | None
) -> Validated[Event]:
    """Events stamped with the server's time (Unix ms), and the refused.

    With a `visitor_id`, the events of all others are refused.
    """

    def read(entry: msgspec.Raw) -> Event:
        event = events.clamp(decode_entry(_event.decode, entry), received_at)
        if visitor_id is not None and event.visitor_id != visitor_id:
            raise Refused("visitor", "the visitor token belongs to another visitor than the event")
        if nonsense := events.check(event):
            raise Refused("validate", nonsense)
        return events.with_order(events.clean(event))

    return validate_entries(entries, read, MAX_EVENT_BYTES)


def validate_products(entries: Sequence[msgspec.Raw], *, received_at: int) -> Validated[Product]:
    """Products whose time is not ahead of the server's (Unix ms), and the refused."""

    def read(entry: msgspec.Raw) -> Product:
        product = products.clamp(decode_entry(_product.decode, entry), received_at)
        if nonsense := products.check(product):
            raise Refused("validate", nonsense)
        return products.clean(product)

    return validate_entries(entries, read, MAX_PRODUCT_BYTES)


def validate_entries(
    entries: Sequence[msgspec.Raw], read: Callable[[msgspec.Raw], T], max_bytes: int
) -> Validated[T]:
    """What `read` makes of each entry, and those that have more bytes or that it has refused."""
    verdict: Validated[T] = Validated()
    for index, entry in enumerate(entries):
        try:
            if len(entry) > max_bytes:
                raise Refused("size", f"{len(entry)} bytes, at most {max_bytes} are taken")
            verdict.accepted.append(read(entry))
            verdict.places.append(index)
        except Refused as refusal:
            verdict.rejected.append(Rejected(index, refusal.stage, str(refusal), bytes(entry)))
    return verdict


def decode_entry(decode: Callable[[msgspec.Raw], T], entry: msgspec.Raw) -> T:
    """One entry as what it should be, mended where it is not. Raises Refused."""
    try:
        try:
            return decode(entry)
        except msgspec.ValidationError:
            return decode(_mend(entry))
    except msgspec.ValidationError as error:
        raise Refused("validate", str(error)[:REASON_MAX]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("decode", _explain(bytes(entry), error)[:REASON_MAX]) from None


def _mend(entry: msgspec.Raw) -> msgspec.Raw:
    """Serializers write `"items": null` for what is not said, and shops their currencies in small letters."""
    members = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
    said = {name: value for name, value in members.items() if bytes(value) != b"null"}
    currency = msgspec.json.decode(said.get("currency", b"null"))
    if isinstance(currency, str):
        said["currency"] = msgspec.Raw(msgspec.json.encode(currency.strip().upper()))
    return msgspec.Raw(msgspec.json.encode(said))


_ESCAPED_BACKSLASH: Final = rb"\\"
_SURROGATES: Final = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", re.DOTALL)
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _explain(entry: bytes, error: Exception) -> str:
    """What a sender can do about an entry that is no JSON."""
    if isinstance(error, UnicodeDecodeError):
        return f"a text is not UTF-8: {error}"
    alone = _SURROGATES.sub(b"", entry.replace(_ESCAPED_BACKSLASH, b""))
    if half := _HALF.search(alone):
        return f"a text holds half a character, {half[0].decode()}: cut texts between characters"
    return str(error)


def decode_body(decode: Callable[[bytes], T], body: bytes) -> T:
    """A whole body as what it should be. Raises UnreadableBatch, of it NotJson where that is what it is."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise UnreadableBatch(str(error)[:REASON_MAX]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error)[:REASON_MAX]) from None
