"""A visitor's session as it lies in the Faust table and on the `sessions` topic (MessagePack)."""

from typing import Final

import msgspec

SESSION_EVENTS_MAX: Final = 64
SESSION_GAP_MS: Final = 30 * 60 * 1000  # 30 min without an event ends a session, the GA convention

# Kafka headers of a `sessions` message: what is true of this one publication, not of the session.
CAUSED_BY: Final = "caused_by"  # event_id of the event that was folded
ACCEPTED_AT: Final = "accepted_at"  # Unix ms, ingest took the event
FOLDED_AT: Final = "folded_at"  # Unix ms, the session was computed


class SessionEvent(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One remembered event. Its order is the session's: by time, then by id."""

    occurred_at: int
    event_id: str
    product_id: str
    type: str


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

    All vectors are float16 of the layout named, each segment of unit length or zero; empty bytes where no
    event's product has a vector yet. The profile of older visits is part of `vector`: it follows from
    the events, so it needs no place of its own. `missing` names the products that had no vector when the
    session was computed: they join as soon as they have one.
    """

    visitor_id: str
    events: tuple[SessionEvent, ...] = ()
    layout: str = ""
    vector: bytes = b""
    interests: tuple[Interest, ...] = ()
    missing: tuple[str, ...] = ()


_decoder = msgspec.msgpack.Decoder(Session)
_encoder = msgspec.msgpack.Encoder()


def decode(raw: bytes) -> Session:
    """From the bytes of one topic message or table entry. Raises msgspec.ValidationError or DecodeError."""
    return _decoder.decode(raw)


def encode(session: Session) -> bytes:
    """The bytes of one message on `sessions`; equal sessions give equal bytes."""
    return _encoder.encode(session)
