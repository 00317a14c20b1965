"""When a Segment message happened, and the id that tells it from all others."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID, uuid5

from schemas.events import MAX_CLOCK_AHEAD_MS, ULID_OR_UUID
from services.ingest.batches import Refused
from services.ingest.segment_messages import SegmentMessage

# Never to change: a message that is sent again is known by the id that follows from its own in here.
NAMESPACE: Final = UUID("eaca399a-368a-4c74-aff5-f6ef09a43d7e")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)


def occurred_at(message: SegmentMessage, sent_at: str | None, received_at: int) -> int:
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
    if happened < 0:
        raise Refused("validate", "timestamp: lies before 1970")
    return received_at if happened - received_at > MAX_CLOCK_AHEAD_MS else happened


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
