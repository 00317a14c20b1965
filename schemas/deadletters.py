"""Dead letters: the headers beside the raw bytes, the marks of handled ones, and how ingest takes them back.

A letter lies where it was written until it ages out. That it was handled is said by a mark behind it on the
same partition, so that the mark ages out after its letter.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self

import msgspec

from schemas.events import Millis, VisitorId
from schemas.unreadable import Unreadable, read, reason_of

REASON: Final = "reason"  # a sentence a person can act on
SERVICE: Final = "service"  # which service refused the message
STAGE: Final = "stage"  # decode, validate, picture, …
SOURCE: Final = "source"  # topic/partition/offset, or the HTTP path it came by
FAILED_AT: Final = "failed_at"  # Unix ms

# These are there where they say something; ATTEMPTS also on a message that was put back on its topic.
ATTEMPTS: Final = "attempts"  # how often the message was tried; absent: once
RECEIVED_AT: Final = "received_at"  # Unix ms, when it first came by HTTP; absent: when it failed
SENDER: Final = "sender"  # whose visitor token it came with; absent: the sender could speak for anybody
FRAME: Final = "frame"  # JSON of Frame: what a Segment batch said of all its messages

# Headers of a mark, whose key is the letter's id and whose value is null.
HANDLES: Final = "handles"
OUTCOME: Final = "outcome"
HANDLED_AT: Final = "handled_at"  # Unix ms

COUNT: Final = "count"  # of how many identical refusals this is the letter; absent: of one
SIZE: Final = "size"  # bytes of the whole value, of which the letter has the first
SHA256: Final = "sha256"  # hexadecimal digest of the whole value

RAW_MAX: Final = 16 * 1024  # bytes of a value that a letter has: a refused half megabyte fills no disk
KEY_MAX: Final = 1024  # bytes of a key: a product's id has 512 at most

# In the reason of a message that its producer has put on another partition than ours would.
MISPLACED: Final = "set partitioner=murmur2_random"

STAGE_BODY: Final = "body"  # the raw bytes are a whole HTTP body, not one entry of it

RETURN_PATH: Final = "/v1/dead-letters"
MAX_RETURN_BYTES: Final = 2 * 1024 * 1024
MAX_RETURNED: Final = 500

Outcome = Literal["requeued", "dropped"]
Headers = list[tuple[str, bytes]]
AnyHeaders = Mapping[str, bytes | None] | Iterable[tuple[str, bytes | None]]


def letter(
    key: bytes | None,
    raw: bytes | None,
    *,
    reason: str,
    service: str,
    stage: str,
    source: str,
    failed_at: int,
    attempts: int = 1,
    count: int = 1,
) -> tuple[bytes | None, bytes | None, Headers]:
    """One dead letter: key, value and headers. It fits on its topic whatever was refused.

    Of a value with more than RAW_MAX bytes it has the first, and size and digest of the whole.
    """
    told = headers(
        reason=reason, service=service, stage=stage, source=source, failed_at=failed_at, attempts=attempts
    )
    if count > 1:
        told.append((COUNT, str(count).encode()))
    if raw is not None and len(raw) > RAW_MAX:
        told += [(SIZE, str(len(raw)).encode()), (SHA256, sha256(raw).hexdigest().encode())]
        raw = raw[:RAW_MAX]
    return None if key is None else key[:KEY_MAX], raw, told


def headers(
    *, reason: str, service: str, stage: str, source: str, failed_at: int, attempts: int = 1
) -> Headers:
    """The headers of one dead letter, in a fixed order; the reason is printable and short."""
    told = [
        (REASON, reason_of(reason).encode()),
        (SERVICE, service.encode()),
        (STAGE, stage.encode()),
        (SOURCE, source.encode()),
        (FAILED_AT, str(failed_at).encode()),
    ]
    return told + ([attempts_header(attempts)] if attempts > 1 else [])


def attempts_header(attempts: int) -> tuple[str, bytes]:
    """Goes with a message that is tried for the so-manieth time, and with its letter if it fails again."""
    return ATTEMPTS, str(attempts).encode()


def attempts_of(found: AnyHeaders | None) -> int:
    """How often a message was tried, by its headers or its letter's; what is no number counts as once."""
    told = dict(found or ()).get(ATTEMPTS) or b""
    return max(1, int(told)) if re.fullmatch(rb"[0-9]{1,9}", told) else 1


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Where a letter lies, the topic without its prefix: `events.dlq/0/17`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is no id."""
        found = re.fullmatch(r"([A-Za-z0-9._-]+)/([0-9]{1,9})/([0-9]{1,18})", text)
        if found is None:
            raise ValueError(f"{text!r} is no id of a dead letter: expected one such as events.dlq/0/17")
        return cls(found[1], int(found[2]), int(found[3]))


def mark(letter: LetterId, outcome: Outcome, *, at: int, attempts: int) -> tuple[bytes, Headers]:
    """Key and headers of the mark that a letter was handled; its value is null. `at` is Unix ms."""
    return str(letter).encode(), [
        (HANDLES, str(letter).encode()),
        (OUTCOME, outcome.encode()),
        (HANDLED_AT, str(at).encode()),
        attempts_header(attempts),
    ]


def parse_mark(found: AnyHeaders | None) -> tuple[LetterId, Outcome] | None:
    """Which letter a message marks, and as what; None where it is no mark."""
    told = dict(found or ())
    letter, outcome = told.get(HANDLES), told.get(OUTCOME)
    if letter is None:
        return None
    try:
        return LetterId.parse(letter.decode()), "dropped" if outcome == b"dropped" else "requeued"
    except ValueError:  # bytes that are no UTF-8, too
        return None


class Frame(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the batch of a Segment message said for all of its messages, in Segment's words."""

    sent_at: str | None = None
    context: dict[str, Any] | None = None


class Returned(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A letter that ingest is to judge again, as it came by `path` at `received_at` (Unix ms).

    `whole`: the raw bytes are a whole body. With a `sender` only that visitor's events are taken. `joined`:
    visitors of whom `identities` has a newer word. If it is refused again, its new letter says `attempts`.
    """

    letter: str
    raw: bytes
    path: str
    received_at: Millis
    attempts: Annotated[int, msgspec.Meta(ge=1)]
    whole: bool = False
    sender: VisitorId | None = None
    frame: Frame | None = None
    joined: list[VisitorId] = []


class Return(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of POST /v1/dead-letters, which needs the API key. With `judge_only` nothing is written."""

    letters: Annotated[list[Returned], msgspec.Meta(max_length=MAX_RETURNED)]
    judge_only: bool = False


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one letter: how many of its entries are taken, why others are not, whose they are.

    `joins`: the visitors that it says to be a user, and the Unix ms at which they were.
    """

    letter: str
    accepted: int = 0
    reasons: list[str] = []
    visitors: list[str] = []
    joins: dict[str, int] = {}


class Verdicts(msgspec.Struct, frozen=True):
    """The answer of POST /v1/dead-letters, in the order of the letters."""

    letters: list[Verdict]


_frame = msgspec.json.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """The value of the header `frame`."""
    return msgspec.json.encode(frame)


def decode_frame(raw: bytes | None) -> Frame | None:
    """The frame of a header; None where it is absent or none."""
    try:
        return read(_frame.decode, raw) if raw else None
    except Unreadable:
        return None
