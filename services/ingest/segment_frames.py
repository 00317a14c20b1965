"""What a Segment batch says of all its messages, kept with each that is refused."""

from collections.abc import Mapping
from typing import Final

import msgspec

from schemas.deadletters import Frame
from services.ingest.segment_messages import Parcel

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
