"""Messages of topics, read so that no bytes of anybody's end who reads them: key, headers and value.

`decode` answers with what a message says, or with the reason why it says nothing. Who owns a topic's input
writes a dead letter of such a message (events: the session processor, products: the embedder); all others go
on without it, and `MessageReader` counts and tells that.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Generic, TypeVar, cast

import msgspec
import numpy as np
import structlog
from msgspec.structs import replace
from prometheus_client import Counter

from schemas import (
    directions,
    erasures,
    events,
    experiments,
    identities,
    impressions,
    models,
    products,
    rules,
    sessions,
    times,
    traces,
    vectors,
)
from schemas.erasures import Erasure
from schemas.events import LATEST_MS, Event
from schemas.experiments import Experiment
from schemas.identities import Identity
from schemas.impressions import Shown
from schemas.models import ModelRelease
from schemas.products import Product
from schemas.rules import Rule
from schemas.sessions import Session
from schemas.topics import (
    ERASURES,
    EVENTS,
    EXPERIMENTS,
    IDENTITIES,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RECOMMENDATIONS,
    RULES,
    SESSIONS,
    Topic,
)
from schemas.unreadable import UnderAnotherKey, Unreadable
from schemas.vectors import Layout, ProductVectors
from services.kafka.ranges import HistoryReader, TopicMessage, headers_of, newest_by_key
from services.logging import hash_visitor

T = TypeVar("T")

log = structlog.get_logger()

VISITOR_KEY: Final = EVENTS.key
WARN_EVERY_S: Final = 30.0  # a topic full of such messages is told of so often, not line by line


@dataclass(frozen=True, slots=True)
class MessageType(Generic[T]):
    """What lies on a topic: how a value is read, and the id whose key it has to lie under.

    `decode` raises Unreadable, and nothing else, whatever the bytes are.
    """

    topic: Topic
    decode: Callable[[bytes], T]
    id_of: Callable[[T], str]
    time: str = ""  # the field that tells of when it is, where its sender's clock does

    def read(self, key: bytes | None, value: bytes, sent_at: int = 0) -> T:
        """A value that is no tombstone. Raises Unreadable, also under another message's key.

        A clock over 5 minutes ahead of `sent_at`, when the message was sent (Unix ms), is set back to it: an
        event of 2099 would make all that the visitor did too old to remember, a product of 2099 could not be
        changed until then.
        """
        found = self.decode(value)
        own = self.id_of(found)
        if key != own.encode():
            raise UnderAnotherKey(str(self.topic.key), own)
        if self.time:
            said = getattr(found, self.time)
            if (at := times.clamp(said, sent_at)) != said:
                found = cast(T, replace(cast(msgspec.Struct, found), **{self.time: at}))
        return found

    def read_tombstone(self, key: bytes | None) -> str:
        """Whose tombstone it is. Raises Unreadable."""
        try:
            if key:
                return key.decode()
        except UnicodeDecodeError:
            pass
        raise Unreadable(f"a tombstone's key is no {self.topic.key}")


EVENT: Final[MessageType[Event]] = MessageType(EVENTS, events.decode, attrgetter("visitor_id"), "occurred_at")
PRODUCT: Final[MessageType[Product]] = MessageType(
    PRODUCTS, products.decode, attrgetter("product_id"), "updated_at"
)
PRODUCT_VECTOR: Final[MessageType[ProductVectors]] = MessageType(
    PRODUCT_VECTORS, vectors.decode, attrgetter("product.product_id")
)
SESSION: Final[MessageType[Session]] = MessageType(SESSIONS, sessions.decode, attrgetter("visitor_id"))
RELEASE: Final[MessageType[ModelRelease]] = MessageType(MODELS, models.decode, attrgetter("name"))
IMPRESSION: Final[MessageType[Shown]] = MessageType(
    RECOMMENDATIONS, impressions.decode, attrgetter("visitor_id")
)
ERASURE: Final[MessageType[Erasure]] = MessageType(
    ERASURES, erasures.decode, attrgetter("visitor_id"), "erased_at"
)
IDENTITY: Final[MessageType[Identity]] = MessageType(
    IDENTITIES, identities.decode, attrgetter("visitor_id"), "occurred_at"
)
RULE: Final[MessageType[Rule]] = MessageType(RULES, rules.decode, attrgetter("rule_id"))
EXPERIMENT: Final[MessageType[Experiment]] = MessageType(EXPERIMENTS, experiments.decode, attrgetter("name"))


def vectors_of(layout: Layout) -> MessageType[ProductVectors]:
    """Vectors for a reader with this layout: of that layout as wide as it is, and all of numbers.

    Those of another layout are read: what they mean is that the settings are wrong, and that stops a start.
    """

    def decode(raw: bytes) -> ProductVectors:
        found = vectors.decode(raw)
        if found.layout == layout.id:
            _require_width(found.content, 2 * layout.width)
            if not np.isfinite(np.frombuffer(found.content, dtype="<f2")).all():
                raise Unreadable("the vector has components that are no numbers")
        return found

    return MessageType(PRODUCT_VECTORS, decode, attrgetter("product.product_id"))


def sessions_of(layout: Layout) -> MessageType[Session]:
    """Sessions for a reader with this layout: directions of it are as wide as it is, or empty."""
    form = directions.form(layout)

    def decode(raw: bytes) -> Session:
        found = sessions.decode(raw)
        if found.layout == form:
            for vector in (found.vector, *(interest.vector for interest in found.interests)):
                _require_width(vector, layout.width if vector else 0)
        return found

    return MessageType(SESSIONS, decode, attrgetter("visitor_id"))


def _require_width(vector: bytes, expected: int) -> None:
    if len(vector) != expected:
        raise Unreadable(f"a vector has {len(vector)} bytes, its layout {expected}")


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """What a message says; without a value it is a tombstone."""

    key: str
    value: T | None
    message: TopicMessage

    @property
    def raw(self) -> bytes | None:
        """The value's bytes."""
        return self.message.value()


def decode(kind: MessageType[T], message: TopicMessage) -> Decoded[T] | Unreadable:
    """What a message says, or the reason why nothing. Raises nothing, whatever the bytes are."""
    key, value = message.key(), message.value()
    try:
        if value is None:
            return Decoded(kind.read_tombstone(key), None, message)
        found = kind.read(key, value, message.timestamp()[1])
        return Decoded(kind.id_of(found), found, message)
    except Unreadable as reason:
        return reason


def read_value(kind: MessageType[T], message: TopicMessage) -> T | None:
    """The value of a message; None for a tombstone, and for what cannot be read."""
    found = decode(kind, message)
    return None if isinstance(found, Unreadable) else found.value


def newest_of_topic(reader: HistoryReader, kind: MessageType[T]) -> dict[str, T | Unreadable]:
    """What lies on a topic now, by key in order, or why that cannot be read. Raises BrokerAway, TopicMissing.

    A key that is no UTF-8 has a replacement for what is none.
    """

    def take(message: TopicMessage) -> T | Unreadable:
        try:
            return kind.read(message.key(), message.value() or b"", message.timestamp()[1])
        except Unreadable as reason:
            return reason

    newest = newest_by_key(reader, reader.spans(kind.topic), take)
    return {key.decode("utf-8", "replace"): newest[key] for key in sorted(newest)}


class MessageReader:
    """Goes on without what cannot be read: counts it by topic, and says so once in a while."""

    def __init__(
        self, unreadable: Counter | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`unreadable`: a metric with the label `topic`."""
        self._unreadable = unreadable
        self._clock = clock
        self._warned: dict[str, tuple[float, int]] = {}  # topic → when, and how many it was silent about
        self.counts: dict[str, int] = {}

    def read(self, kind: MessageType[T], message: TopicMessage) -> Decoded[T] | None:
        """What a message says; None for one that cannot be read."""
        found = decode(kind, message)
        if isinstance(found, Unreadable):
            self.note(kind.topic, message, found)
            return None
        return found

    def newest(self, kind: MessageType[T], messages: Iterable[TopicMessage]) -> list[Decoded[T]]:
        """Of each key the newest that can be read, the one that came last at the end.

        What is older is not even decoded: behind a message that cannot be read the one before it counts.
        """
        found: dict[str, Decoded[T]] = {}
        known: set[bytes] = set()
        for message in reversed(list(messages)):
            key = message.key() or b""
            if key not in known and (each := self.read(kind, message)) is not None:
                known.add(key)
                found[each.key] = each
        return list(found.values())[::-1]

    def note(self, topic: Topic, message: TopicMessage, reason: Unreadable) -> None:
        """Counts a message that cannot be read."""
        self.counts[topic.name] = self.counts.get(topic.name, 0) + 1
        if self._unreadable is not None:
            self._unreadable.labels(topic.name).inc()
        now = self._clock()
        at, silent = self._warned.get(topic.name, (-math.inf, 0))
        if now - at < WARN_EVERY_S:
            self._warned[topic.name] = (at, silent + 1)
            return
        self._warned[topic.name] = (now, 0)
        log.warning(
            "a message that cannot be read is left out",
            place=f"{message.topic()}/{message.partition()}/{message.offset()}",
            reason=reason.for_log,
            others_since=silent,
            **name_message(topic, message),
        )


def name_message(topic: Topic, message: TopicMessage) -> dict[str, str]:
    """What a log line names of a message: the visitor, the event that it follows from, and its trace."""
    headers = headers_by_name(message)
    trace = traces.parse(headers.get(traces.TRACEPARENT))
    event_id = header_text(headers, sessions.CAUSED_BY) or ""
    told = {
        "visitor": hash_visitor(message.key() or b"") if topic.key == VISITOR_KEY else "",
        "event_id": event_id if events.is_event_id(event_id) else "",
        "trace_id": trace.trace_id if trace is not None and trace.sampled else "",
    }
    return {name: value for name, value in told.items() if value}


def header_text(headers: Mapping[str, bytes | None], name: str) -> str | None:
    """A header as text; None where it is absent or empty, and for what is no UTF-8."""
    try:
        return (headers.get(name) or b"").decode() or None
    except UnicodeDecodeError:
        return None


_TIME: Final = re.compile(rb"[0-9]{1,13}(?:\.[0-9]{1,9})?")
_COUNT: Final = re.compile(rb"[0-9]{1,9}")


def header_ms(headers: Mapping[str, bytes | None], name: str) -> float | None:
    """A header as Unix ms; None for what is none, such as a date in letters, `nan` or nothing."""
    said = headers.get(name) or b""
    if _TIME.fullmatch(said) is None:
        return None
    found = float(said)
    return found if found <= LATEST_MS else None


def header_count(headers: Mapping[str, bytes | None], name: str) -> int:
    """A header as a number of things; 0 for what is none."""
    said = headers.get(name) or b""
    return int(said) if _COUNT.fullmatch(said) else 0


def headers_by_name(message: TopicMessage) -> dict[str, bytes | None]:
    """The headers; of one that is there twice the last."""
    return dict(headers_of(message))
