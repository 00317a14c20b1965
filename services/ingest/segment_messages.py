"""What Segment's HTTP tracking API takes: the bodies of its calls, and how they are split into messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from schemas.events import MAX_BATCH_EVENTS
from services.ingest.batches import readable

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Meant to be a text; shops send the numbers of their databases too.
Id = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
KindName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(KINDS)})]


class SegmentMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message. `type` is needed within a batch; times are ISO 8601, UTC where they name no zone.

    What is not named here (traits, integrations, …) may be there and is not read.
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
    batch = readable(_batch.decode, body)
    return Parcel(batch.batch, batch.write_key or None, batch.sent_at, batch.context or {})


def split_call(body: bytes) -> Parcel:
    """The one message that the body is. Raises UnreadableBatch."""
    return Parcel([msgspec.Raw(body)], readable(_call.decode, body).write_key or None)
