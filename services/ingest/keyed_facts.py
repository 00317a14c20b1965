"""One rule for keyed facts: what ingest writes to a compacted topic is never older than what lies there.

Of each key ingest knows the newest fact, by reading the topic whole and then on (decision 0012).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from schemas import identities, products, times
from schemas.identities import Identity
from schemas.products import Product
from schemas.topics import Topic
from schemas.unreadable import Unreadable
from services.ingest.metrics import Metrics
from services.kafka import ranges
from services.kafka.clients import AcknowledgedProducer, Gone, NotDelivered, OutgoingMessage, TopicMissing
from services.kafka.messages import IDENTITY, PRODUCT, MessageType, decode, read_value
from services.kafka.ranges import BrokerAway, TopicMessage, headers_of, open_reader
from services.settings import ServiceSettings
from services.time_range import format_time

T = TypeVar("T")

log = structlog.get_logger()

# Unix ms, and what decides between two facts of one moment; of equal ones the later written counts.
Order = tuple[int, str, bool]
LAST: Final = "\U0010ffff"  # behind all user ids

MEND_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class KeyedTopic(Generic[T]):
    """A compacted topic: how its messages are read and written, and what they say for their order.

    `deletion`: what decides between a deletion and another fact of the same moment.
    """

    kind: MessageType[T]
    encode: Callable[[T], bytes]
    order: Callable[[T], Order]
    deletion: str = ""

    @property
    def topic(self) -> Topic:
        """Which one it is."""
        return self.kind.topic


def product_order(product: Product) -> Order:
    """Of when a product is."""
    return product.updated_at, "", False


def identity_order(identity: Identity) -> Order:
    """Of when a join is; the same order as that of `Identity.replaces`."""
    return identity.occurred_at, identity.user_id, identity.proven


OF_PRODUCTS: Final = KeyedTopic(PRODUCT, products.encode, product_order)
# An erasure includes its own moment.
OF_IDENTITIES: Final = KeyedTopic(IDENTITY, identities.encode, identity_order, LAST)


class KeyedFacts:
    """The newest fact of each key of one topic: about 190 bytes each.

    Messages are taken in the reader's thread, everything else is called in the loop.
    """

    def __init__(self, kind: KeyedTopic[Any]) -> None:
        self.kind = kind
        self._newest: dict[bytes, Order] = {}
        self._lock = threading.Lock()
        self._disordered: set[bytes] = set()
        self._busy: set[bytes] = set()
        self._freed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._newest)

    def list_keys(self) -> list[bytes]:
        """All of which something is known."""
        with self._lock:
            return list(self._newest)

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
            if isinstance(message, Gone):  # the topic was made anew
                self._newest.pop(key, None)
                self._disordered.discard(key)
                return
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


def order_of(message: TopicMessage, kind: KeyedTopic[Any], known: Order | None) -> Order | None:
    """Of when a message's fact is, given what is known of its key; None for what cannot be read.

    A tombstone without a time, as other producers write it, deletes whatever lay before it.
    """
    found = decode(kind.kind, message)
    if isinstance(found, Unreadable):
        return None
    if found.value is not None:
        return kind.order(found.value)
    sent_at = message.timestamp()[1]
    told = times.deletion(headers_of(message), sent_at)
    if told is not None:
        return told, kind.deletion, False
    return max((sent_at, kind.deletion, False), known or (sent_at, "", False))


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


def _again(message: TopicMessage, kind: KeyedTopic[Any], order: Order) -> OutgoingMessage:
    value = read_value(kind.kind, message)
    if value is None:
        return deletion(message.key() or b"", order[0])
    return message.key(), kind.encode(value), []
