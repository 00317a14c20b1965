"""A visitor's session as it lies in the Faust table and on the `sessions` topic (MessagePack)."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from math import isfinite
from typing import Final, NamedTuple

import msgspec

from schemas.events import CROCKFORD, EVENT_TYPES, LATEST_MS, EventType
from schemas.unreadable import Unreadable, read

SESSION_EVENTS_MAX: Final = 64
SESSION_GAP_MS: Final = 30 * 60 * 1000  # 30 min without an event ends a visit, the GA convention
SESSION_BYTES_MAX: Final = 12 * 1024  # with up to 1,000 components, and categories of up to 400 bytes
PRODUCT_IDS_BYTES_MAX: Final = 2560  # of all remembered events together: 40 each where there are 64
PURCHASES_MAX: Final = 256  # products, fewer where vectors leave no room for them within the 12 KB
PURCHASE_BYTES: Final = 8
SEARCHES_MAX: Final = 4
SEARCH_WORDS_BYTES_MAX: Final = 100
SHOWN_MAX: Final = 150  # products
SHOWN_BYTES: Final = 10

# Kafka headers of a `sessions` message: what is true of this one publication, not of the session.
CAUSED_BY: Final = "caused_by"  # event_id of the event that was folded
ACCEPTED_AT: Final = "accepted_at"  # Unix ms, ingest took the event
CLICKED_ROW: Final = "clicked_row"  # recommendation_id of the row that the event is a click into
FOLDED_AT: Final = "folded_at"  # Unix ms, the session was computed
ERASED_AT: Final = "erased_at"  # Unix ms, what came up to then was removed: this is what is left, if anything
QUIET: Final = "quiet"  # rows were seen, and that is all: no row is to be made anew for it
EVENTS_REMOVED: Final = "events_removed"  # how many events that were

# What `SessionEvent.kind` counts. New types come at the end: the numbers lie in stored sessions.
KINDS: Final[tuple[EventType, ...]] = tuple(EVENT_TYPES)
KIND_OF: Final = {type_: kind for kind, type_ in enumerate(KINDS)}
# Those that speak against a product.
AGAINST: Final = [KIND_OF[type_] for type_, kind in EVENT_TYPES.items() if (kind.weight or 0) < 0]

ULID_LENGTH: Final = 26
UUID_LENGTH: Final = 36
_BASE_32: Final = "0123456789abcdefghijklmnopqrstuv"  # as Python writes it
_TO_BASE_32: Final = str.maketrans(
    CROCKFORD + CROCKFORD[10:].lower() + "ILOUilou",  # the letters that Crockford leaves out are none here
    _BASE_32 + _BASE_32[10:] + "~" * 8,
)


class SessionEvent(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One remembered event. Its order is the session's: by time, then by id.

    `identity` is the event's id as `identity` makes it, `kind` an index of KINDS.
    """

    occurred_at: int
    identity: bytes
    product_id: str
    kind: int

    @property
    def type(self) -> EventType:
        """The event's type by its GA4 name."""
        return KINDS[self.kind]


class SessionSearch(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One remembered search. Its order is the session's: by time, then by id; the words may be cut."""

    occurred_at: int
    identity: bytes
    words: str


class ShownProduct(NamedTuple):
    """When rows that the visitor saw had a product last (Unix time in s), and in how many of them, about.

    `bits` has one for each such row, by its id: told twice, it is there once. Beyond 16 rows all are set.
    """

    at: int
    bits: int

    @property
    def times(self) -> int:
        """How many rows, at least: two in 16 share a bit."""
        return self.bits.bit_count()


class Interest(msgspec.Struct, frozen=True, array_like=True):
    """What the visitor looks at within one top-level category; weights of a session sum to 1.

    `vector` is packed like `Session.vector`; `event` is the index in `Session.events` that weighs most in it.
    """

    category: str
    weight: float
    vector: bytes
    event: int


class Session(msgspec.Struct, frozen=True, array_like=True):
    """The newest 64 distinct events of a visitor, and the vectors computed from them.

    All vectors are directions (schemas/directions.py) of the form and layout named; empty bytes where there
    is none, because no event's product has a vector yet or all cancel each other out. The profile of older
    visits is part of them: it follows from the events, so it needs no place of its own. `missing` holds the
    indices of the events whose product had no vector when the session was computed: they join as soon as they
    have one.

    `bought` are the newest purchases, also those that left the events: 8 bytes a product, in ascending order,
    the Unix time of the last one in s and then `purchase_digest` of the product.

    `searches` are the newest, `shown` the products of rows that the visitor saw last, in ascending order: 10
    bytes each, the time and `purchase_digest` as in `bought`, then `ShownProduct.bits`.
    """

    visitor_id: str
    events: tuple[SessionEvent, ...] = ()
    layout: str = ""
    vector: bytes = b""
    interests: tuple[Interest, ...] = ()
    missing: tuple[int, ...] = ()
    bought: bytes = b""
    searches: tuple[SessionSearch, ...] = ()
    shown: bytes = b""

    @property
    def shown_products(self) -> dict[int, ShownProduct]:
        """`purchase_digest` of each product on rows that the visitor saw → when last, and how often."""
        whole = len(self.shown) - len(self.shown) % SHOWN_BYTES
        found = struct.iter_unpack(">IIH", self.shown[:whole])
        return {digest: ShownProduct(at, bits) for at, digest, bits in found}

    @property
    def purchases(self) -> dict[int, int]:
        """`purchase_digest` of each product bought → the last time, Unix time in s."""
        # Entries that another release wrote in another length are cut, not refused.
        whole = len(self.bought) // PURCHASE_BYTES
        numbers = struct.unpack_from(f">{2 * whole}I", self.bought)
        return dict(zip(numbers[1::2], numbers[::2], strict=True))

    @property
    def missing_products(self) -> frozenset[str]:
        """The products that had no vector."""
        return frozenset(self.events[index].product_id for index in self.missing)


def pack_purchases(purchases: Mapping[int, int], most: int) -> bytes:
    """`Session.bought` of the newest purchases (digest → Unix time in s), at most so many."""
    newest = sorted((at, digest) for digest, at in purchases.items())[-most:]
    return struct.pack(f">{2 * len(newest)}I", *chain.from_iterable(newest))


def pack_shown(shown: Mapping[int, ShownProduct]) -> bytes:
    """`Session.shown` of the products that were shown last, by digest."""
    newest = sorted((each.at, digest, each.bits) for digest, each in shown.items())[-SHOWN_MAX:]
    return b"".join([struct.pack(">IIH", *each) for each in newest])


@lru_cache(100_000)
def purchase_digest(product_id: str) -> int:
    """32 bits of a product's id: with 256 purchases, one of 16 million other products is taken for bought."""
    return int.from_bytes(blake2b(product_id.encode(), digest_size=4).digest())


def identity(event_id: str) -> bytes:
    """The number that a UUID or ULID writes, as 16 bytes; 17 for letters that are beyond a ULID's 128 bits.

    Upper and lower case mean the same. Raises ValueError for other texts.
    """
    if len(event_id) == UUID_LENGTH:
        return bytes.fromhex(event_id.replace("-", ""))
    if len(event_id) == ULID_LENGTH:
        number = int(event_id.translate(_TO_BASE_32), 32)
        return number.to_bytes(17 if number >> 128 else 16)
    raise ValueError(f"neither UUID nor ULID: {event_id!r}")


class _FormerEvent(msgspec.Struct, frozen=True, array_like=True):
    occurred_at: int
    event_id: str
    product_id: str
    type: EventType


class _FormerSession(msgspec.Struct, frozen=True, array_like=True):
    """What was written before vectors became directions: ids and types as text, vectors as float16."""

    visitor_id: str
    events: tuple[_FormerEvent, ...] = ()

    def renew(self) -> Session:
        """The events in today's form; no layout, so that whoever can computes the vectors again."""
        events = (
            SessionEvent(each.occurred_at, identity(each.event_id), each.product_id, KIND_OF[each.type])
            for each in self.events
        )
        return Session(self.visitor_id, tuple(sorted(events)))


_decoder = msgspec.msgpack.Decoder(Session)
_former_decoder = msgspec.msgpack.Decoder(_FormerSession)
_encoder = msgspec.msgpack.Encoder()


def decode(raw: bytes) -> Session:
    """From the bytes of one topic message or table entry. Raises Unreadable.

    A session in the former form keeps its events and has no vectors and no layout. So does one in which a
    newer release has put events of types that are new: it keeps the others, so that who goes back to this
    release loses no more than what it does not know.
    """
    session = _leave_out_newer(read(_decode, raw))
    if (fault := _fault(session)) is not None:
        raise Unreadable(fault)
    return session


def _decode(raw: bytes) -> Session:
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError:
        return _former_decoder.decode(raw).renew()


def _leave_out_newer(session: Session) -> Session:
    """Without events of types that came after this release; without vectors, where there are such."""
    known = tuple(event for event in session.events if event.kind < len(KINDS))
    if len(known) == len(session.events):
        return session
    return msgspec.structs.replace(session, events=known, layout="", vector=b"", interests=(), missing=())


def _fault(session: Session) -> str | None:
    """Why a well-formed session would end who computes with it."""
    count = len(session.events)
    for event in session.events:
        if event.kind < 0:
            return f"the session has an event of a kind that cannot be: {event.kind}"
        if not 0 <= event.occurred_at <= LATEST_MS:
            return "the session has an event of a time that cannot be"
    if not all(0 <= index < count for index in session.missing):
        return "the session misses products of events that it has not"
    for interest in session.interests:
        if not (0 <= interest.event < count and isfinite(interest.weight)):
            return "the session has an interest that none of its events gives"
    return None


def encode(session: Session) -> bytes:
    """The bytes of one message on `sessions`; equal sessions give equal bytes."""
    return _encoder.encode(session)
