"""What Segment's HTTP tracking API takes: the bodies of its calls, and how they are split into messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec

from schemas.deadletters import Frame
from schemas.events import MAX_BATCH_EVENTS
from services.ingest.envelope import split_object
from services.ingest.validation import NotJson, decode_body, entries_of

T = TypeVar("T")

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Meant to be a text; shops send the numbers of their databases too.
Id = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
KindName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(KINDS)})]


class SegmentMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message. `type` is needed within a batch; times are ISO 8601, UTC where they name no zone.

    `traits` are read for `user_hash` alone, the signature of the userId by the shop. What is not named here
    (integrations, …) may be there and is not read.
    """

    type: KindName | None = None
    event: str | None = None
    anonymous_id: Id | None = None
    user_id: Id | None = None
    previous_id: Id | None = None
    message_id: Id | None = None
    timestamp: Time | None = None
    original_timestamp: Time | None = None
    sent_at: Time | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class SegmentCall(SegmentMessage, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of POST /v1/track and its like: one message, which may bring the write key."""

    write_key: str | None = None


class SegmentBatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of POST /v1/batch. `context` stands in for what a message's own does not say."""

    batch: Annotated[list[SegmentMessage], msgspec.Meta(max_length=MAX_BATCH_EVENTS)]
    context: dict[str, Any] | None = None
    sent_at: Time | None = None
    write_key: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """The messages of one body, not yet looked into, and what it says about them all."""

    entries: list[msgspec.Raw]
    write_key: str | None = None
    sent_at: Time | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


class _Batch(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    context: dict[str, Any] | None = None
    sent_at: Time | None = None
    write_key: str | None = None


class _Call(msgspec.Struct, rename="camel"):
    write_key: str | None = None


_batch = msgspec.json.Decoder(_Batch)
_call = msgspec.json.Decoder(_Call)


def split_batch(body: bytes) -> Parcel:
    """The messages of `{"batch": […]}`. Raises UnreadableBatch."""
    try:
        batch = decode_body(_batch.decode, body)
    except NotJson:
        members = split_object(body) or {}
        if (entries := entries_of(members, "batch")) is None:
            raise
        context = _member(members, "context", dict[str, Any])
        return Parcel(
            entries, _member(members, "writeKey", str) or None, _member(members, "sentAt", str), context or {}
        )
    return Parcel(batch.batch, batch.write_key or None, batch.sent_at, batch.context or {})


def split_call(body: bytes) -> Parcel:
    """The one message that the body is. Raises UnreadableBatch."""
    try:
        write_key = decode_body(_call.decode, body).write_key
    except NotJson:
        if (members := split_object(body)) is None:
            raise
        write_key = _member(members, "writeKey", str)
    return Parcel([msgspec.Raw(body)], write_key or None)


def _member(members: Mapping[str, bytes], name: str, type_: type[T]) -> T | None:
    """What a body says of all its messages; nothing, where that cannot be read: the messages count."""
    try:
        return msgspec.json.decode(members.get(name, b"null"), type=type_ | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


# What `context_of` reads; a dictionary where it reads but some of it.
READ: Final[Mapping[str, frozenset[str] | None]] = {
    "page": frozenset({"path", "url", "referrer"}),
    "referrer": frozenset({"url"}),
    "device": frozenset({"type"}),
    "locale": None,
    "userAgent": None,
}
CONTEXT_BYTES_MAX: Final = 4096  # each refused message of a batch carries it: 10 MB for the largest batch


def frame_of(parcel: Parcel) -> Frame | None:
    """As much of it as has a say in what its messages become; a context that is too large is left out."""
    context = {name: _read(name, value) for name, value in parcel.context.items() if name in READ}
    if len(msgspec.json.encode(context)) > CONTEXT_BYTES_MAX:
        context = {}
    frame = Frame(sent_at=parcel.sent_at, context=context or None)
    return None if frame == Frame() else frame


def _read(name: str, value: object) -> object:
    parts = READ[name]
    if parts is None or not isinstance(value, dict):
        return value
    return {part: told for part, told in value.items() if part in parts}
