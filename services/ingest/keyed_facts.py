"""One rule for keyed facts: what ingest writes to a compacted topic is never older than what lies there.

Of each key ingest knows the newest fact, by reading the topic whole and then on (decision 0012).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from schemas import identities, products, times
from schemas.topics import IDENTITIES, PRODUCTS, Topic
from services.ingest.metrics import Metrics
from services.kafka import ranges
from services.kafka.clients import AcknowledgedProducer, NotDelivered, OutgoingMessage, TopicMissing
from services.kafka.ranges import BrokerAway, TopicMessage, headers_of, open_reader
from services.settings import ServiceSettings
from services.time_range import format_time

log = structlog.get_logger()

# Unix ms, and what decides between two facts of one moment; of equal ones the later written counts.
Order = tuple[int, str]
LAST: Final = "\U0010ffff"  # behind all user ids

MEND_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class KeyedTopic:
    """A compacted topic: how its values are read, and what its messages say for their order.

    `read`: of key, value and when it was sent, the value as it is to be written again, and its order; raises
    what msgspec does.
    `deletion`: what decides between a deletion and another fact of the same moment.
    """

    topic: Topic
    read: Callable[[bytes, bytes, int], tuple[bytes, Order]]
    deletion: str = ""


def _read_product(key: bytes, raw: bytes, sent_at: int) -> tuple[bytes, Order]:
    product = products.decode(raw, sent_at)
    if product.product_id.encode() != key:
        raise msgspec.ValidationError("the message's key is not the product_id")
    return products.encode(product), (product.updated_at, "")


def _read_identity(key: bytes, raw: bytes, sent_at: int) -> tuple[bytes, Order]:
    identity = identities.decode(raw, sent_at)
    if identity.visitor_id.encode() != key:
        raise msgspec.ValidationError("the message's key is not the visitor_id")
    return identities.encode(identity), (identity.occurred_at, identity.user_id)


OF_PRODUCTS: Final = KeyedTopic(PRODUCTS, _read_product)
OF_IDENTITIES: Final = KeyedTopic(IDENTITIES, _read_identity, LAST)  # an erasure includes its own moment


class KeyedFacts:
    """The newest fact of each key of one topic: about 190 bytes each.

    Messages are taken in the reader's thread, everything else is called in the loop.
    """

    def __init__(self, kind: KeyedTopic) -> None:
        self.kind = kind
        self._newest: dict[bytes, Order] = {}
        self._lock = threading.Lock()
        self._disordered: set[bytes] = set()
        self._busy: set[bytes] = set()
        self._freed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._newest)

    def newest(self, key: bytes) -> Order | None:
        """What is known of a key."""
        return self._newest.get(key)

    def note(self, key: bytes, order: Order) -> None:
        """A fact lies on the topic, or need not lie there: nothing older is news any more."""
        with self._lock:
            if order >= self._newest.get(key, order):
                self._newest[key] = order

    def take(self, message: TopicMessage) -> None:
        """A message of the topic. One that cannot be read says nothing."""
        key = message.key() or b""
        with self._lock:
            known = self._newest.get(key)
            order = order_of(message, self.kind, known)
            if order is None:
                return
            if known is None or order >= known:
                self._newest[key] = order
                self._disordered.discard(key)
            else:
                self._disordered.add(key)

    def reason_to_ignore(self, key: bytes, order: Order) -> str | None:
        """Why a fact is not to be written: something newer lies there."""
        known = self._newest.get(key)
        if known is None or order >= known:
            return None
        return f"older than what is there, which is of {format_time(known[0])}"

    @asynccontextmanager
    async def writing(self, keys: Collection[bytes]) -> AsyncIterator[None]:
        """For the block nobody else in this process writes these keys: between a look and a write."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy.isdisjoint(keys))
            self._busy.update(keys)
        try:
            yield
        finally:
            self._busy.difference_update(keys)
            async with self._freed:
                self._freed.notify_all()

    def pop_disorder(self) -> set[bytes]:
        """The keys of which something older was read behind something newer; each is told once."""
        with self._lock:
            found, self._disordered = self._disordered, set()
            return found

    def correct(self, lying: Mapping[bytes, Order], *, again: Iterable[bytes] = ()) -> None:
        """What a fresh look at the topic has told; `again`: keys to be looked at once more."""
        with self._lock:
            self._newest |= lying
            self._disordered.update(again)


def order_of(message: TopicMessage, kind: KeyedTopic, known: Order | None) -> Order | None:
    """Of when a message's fact is, given what is known of its key; None for what cannot be read.

    A tombstone without a time, as other producers write it, deletes whatever lay before it.
    """
    raw, sent_at = message.value(), message.timestamp()[1]
    if raw is None:
        told = times.deletion(headers_of(message), sent_at)
        if told is not None:
            return told, kind.deletion
        return max((sent_at, kind.deletion), known or (sent_at, ""))
    try:
        return kind.read(message.key() or b"", raw, sent_at)[1]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def deletion(key: bytes, at: int) -> OutgoingMessage:
    """The tombstone of a key, gone as of `at` (Unix ms)."""
    return key, None, [(times.DELETED_AT, str(at))]


@dataclass(frozen=True, slots=True)
class _NewestFact:
    """The newest fact of a key on the topic: its order, what is written again, and whether it lies last."""

    order: Order
    message: OutgoingMessage
    is_last: bool = True


class Mender:
    """Writes the newest fact again where an older one lies behind it, which compaction would keep.

    That happens when two ingest processes write one key within the few ms that each needs to read what the
    other wrote. Both mend; the same fact twice does no harm.
    """

    def __init__(
        self, facts: KeyedFacts, producer: AcknowledgedProducer, settings: ServiceSettings, metrics: Metrics
    ) -> None:
        self._facts = facts
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def run(self) -> None:
        """Looks every second, until it is cancelled."""
        while True:
            await asyncio.sleep(MEND_EVERY_S)
            if keys := self._facts.pop_disorder():
                try:
                    await self._mend(keys)
                except (BrokerAway, TopicMissing, NotDelivered) as error:
                    log.warning("an older fact behind a newer one is mended later", error=str(error))
                    self._facts.correct({}, again=keys)

    async def _mend(self, keys: set[bytes]) -> None:
        async with self._facts.writing(keys):
            found = await asyncio.to_thread(self._look, keys)
            overtaken = [each for each in found.values() if not each.is_last]
            topic = self._settings.topic(self._facts.kind.topic)
            await self._producer.send_all(topic, [each.message for each in overtaken])
            self._facts.correct({key: each.order for key, each in found.items()})
        if overtaken:
            self._metrics.facts_mended.labels(self._facts.kind.topic.name).inc(len(overtaken))
            log.info("older facts lay behind newer ones", topic=topic, mended=len(overtaken))

    def _look(self, keys: set[bytes]) -> dict[bytes, _NewestFact]:
        """What lies on the topic now. Blocks."""
        kind = self._facts.kind
        found: dict[bytes, _NewestFact] = {}
        with open_reader(self._settings) as reader:
            for message in ranges.of_keys(reader, kind.topic, keys):
                key, known = message.key() or b"", found.get(message.key() or b"")
                order = order_of(message, kind, None if known is None else known.order)
                if order is None:
                    continue
                if known is not None and order < known.order:
                    found[key] = _NewestFact(known.order, known.message, is_last=False)
                else:
                    found[key] = _NewestFact(order, _again(message, kind, order))
        return found


def _again(message: TopicMessage, kind: KeyedTopic, order: Order) -> OutgoingMessage:
    key, raw = message.key() or b"", message.value()
    if raw is None:
        return deletion(key, order[0])
    return key, kind.read(key, raw, message.timestamp()[1])[0], []
