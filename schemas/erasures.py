"""A visitor who is to be forgotten, on the topic `erasures` (JSON)."""

import msgspec

from schemas.events import Millis, Name, VisitorId
from schemas.unreadable import read


class Erasure(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that happened up to `erased_at` (Unix ms) is left out by every reader of history; a tombstone
    takes the erasure back.
    """

    visitor_id: VisitorId
    erased_at: Millis
    reason: Name | None = None


_decoder = msgspec.json.Decoder(Erasure)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Erasure:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(erasure: Erasure) -> bytes:
    """The bytes of one message on `erasures`."""
    return _encoder.encode(erasure)
