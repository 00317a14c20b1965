"""The loop: reads `products`, does what the catalogue answers, and commits what has had its effects."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import Final

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas import deadletters, products
from schemas.points import PointVersion, point_version
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS, PRODUCTS_DLQ
from schemas.unreadable import Unreadable
from schemas.vectors import Vector, unpack
from services.clock import now_ms
from services.embedder.catalogue import (
    Acknowledge,
    Catalogue,
    Effect,
    IncomingProduct,
    Ledger,
    Place,
    Publish,
    SendToDlq,
)
from services.embedder.embedding import Embedder
from services.embedder.errors import BadProduct, TooManyBadProducts
from services.embedder.metrics import Metrics
from services.embedder.publisher import Publisher, dead_letter, decode_product
from services.embedder.qdrant_writer import ServerIndex
from services.embedder.settings import EmbedderSettings
from services.kafka.clients import BATCH, LIBRDKAFKA, ClientConfig, TopicMissing, TopicReader, client_config
from services.kafka.messages import PRODUCT, MessageReader, vectors_of
from services.kafka.ranges import headers_of, partition_of
from services.kafka.topic_watch import Shapes, TopicWatch
from services.refusals import RefusalSampler

LOOK_S: Final = 0.2  # how soon a stopping worker notices


def read_known(
    settings: EmbedderSettings,
    catalogue: Catalogue,
    partitions: Collection[int],
    stopping: threading.Event,
    reader: MessageReader,
) -> tuple[set[str], set[str]]:
    """Reads `product-vectors` to its end: the ids of the products in these partitions; those that are gone.

    Gone is what `products` has no more: whoever was away for longer than `delete.retention.ms` reads no
    tombstone of it. Blocks until then, or until `stopping`. Raises LayoutMismatch and TopicMissing.
    """
    ids: set[str] = set()
    kind = vectors_of(settings.layout)
    present: set[bytes] = set()
    lying = 0  # messages on `products`

    def know(messages: list[Message]) -> None:
        nonlocal lying
        for message in messages:
            if message.topic() == source:
                lying += 1
                (present.discard if message.value() is None else present.add)(message.key() or b"")
                continue
            if (read := reader.read(kind, message)) is None:
                continue
            catalogue.know(read.key, read.raw)
            if message.partition() in partitions:
                (ids.discard if read.value is None else ids.add)(read.key)

    source = settings.topic(PRODUCTS)
    topics = [settings.topic(PRODUCT_VECTORS), source]
    whole = TopicReader(client_config(settings), topics, know, lambda _error: None)
    whole.start()
    try:
        while not whole.wait_until_caught_up(LOOK_S) and not stopping.is_set():
            pass
    finally:
        whole.stop()
    gone = {product_id for product_id in ids if product_id.encode() not in present}
    if gone and not lying:  # not a shop that sells nothing: a topic was lost, or vectors restored alone
        log.warning("nothing lies on products, vectors are kept", products=len(gone))
        return ids, set()
    return ids - gone, gone


log = structlog.get_logger()

IDLE_S: Final = 0.2  # how soon a stopping worker notices
BUSY_S: Final = 0.01  # how soon it takes what a model has finished
REPAIRED_AT_ONCE: Final = 500  # products compared between two looks at what came: some milliseconds
COMMIT_EVERY_S: Final = 0.25
FLUSH_S: Final = 2.0  # at the end, and before another worker takes a partition over


class Worker:
    """One member of the consumer group. All its state belongs to the thread that calls `run`."""

    def __init__(
        self,
        *,
        settings: EmbedderSettings,
        new_catalogue: Callable[[], Catalogue],
        embedder: Embedder,
        publisher: Publisher,
        server: ServerIndex | None,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._new_catalogue = new_catalogue
        self._catalogue = new_catalogue()
        self._ledger = Ledger()
        self._embedder = embedder
        self._publisher = publisher
        self._server = server
        self._metrics = metrics
        self._consumer = Consumer(consumer_config(settings))
        self._watch = TopicWatch(
            client_config(settings), [settings.topic(PRODUCTS), settings.topic(PRODUCT_VECTORS)]
        )
        self._shapes: Shapes | None = None
        self._from_beginning = False
        self._stopping = threading.Event()
        self._reader = MessageReader(metrics.unreadable)
        self._refusals = RefusalSampler()
        self._bad_in_a_row = 0
        self._paused = False
        self._committed_at = 0.0
        self._in_server: dict[str, PointVersion] = {}  # as it was found
        self._repairs: Iterator[str] = iter(())  # products that it is still to be compared in
        self.waiting_for: str | None = "its partitions"

    def stop(self) -> None:
        """Lets `run` come to its end; may be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Works until `stop`. Raises whatever else ends it; what was not committed will be read again."""
        self._subscribe()
        while not self._stopping.is_set():
            self._look_at_topics()
            self._read()
            self._hand_on()
            self._commit_now_and_then()
        self._publisher.flush(FLUSH_S)
        self._serve()
        self._commit(asynchronous=False)
        self._consumer.close()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._settings.topic(PRODUCTS)],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _look_at_topics(self) -> None:
        """A topic that was made anew is read again from its beginning, and made again from the products."""
        found = self._watch.look()
        if found is None:
            return
        if missing := [name for name, shape in found.items() if shape is None]:
            self.waiting_for = f"the topic {missing[0]}, which is gone"
            return
        before, self._shapes = self._shapes, found
        if before is None or before == found:
            if self.waiting_for is not None and self._consumer.assignment():
                self.waiting_for = None  # it was missed for a moment
            return
        log.warning(
            "a topic was made anew: all products are read again",
            topics={name: str(shape) for name, shape in found.items()},
        )
        self.waiting_for = "its partitions"
        self._ledger = Ledger()  # what was read of the old topic is nothing to commit for the new one
        self._from_beginning = True
        self._consumer.close()  # a new client: the old one takes the new topic for the old one
        self._consumer = Consumer(consumer_config(self._settings))
        self._subscribe()

    # Reading

    def _read(self) -> None:
        busy = self._catalogue.waiting or len(self._ledger)
        first = self._consumer.poll(BUSY_S if busy else IDLE_S)
        if first is None:
            return
        ledger = self._ledger
        messages = self._consumer.consume(BATCH, timeout=0)
        if self._ledger is ledger:  # else the partitions were dealt anew, and the first will be read again
            messages.insert(0, first)
        for message in messages:
            error = message.error()
            if error is not None:
                self._look_at(error)
                continue
            place = Place(int(message.partition() or 0), int(message.offset() or 0))
            self._ledger.open(place)
            self._do(self._take(message, place))
        self._pause_or_resume()

    def _look_at(self, error: KafkaError) -> None:
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and self._shapes is None:
            raise TopicMissing(self._settings.topic(PRODUCTS))
        if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)
        log.warning("kafka", error=error.str())  # librdkafka goes on trying

    def _take(self, message: Message, place: Place) -> list[Effect]:
        key, value = message.key(), message.value()
        attempts = deadletters.attempts_of(headers_of(message))
        try:
            if value is None:
                return self._catalogue.remove(_read_tombstone(key), place)
            product = decode_product(key, value, message.timestamp()[1])
        except BadProduct as bad:
            self._count_bad(str(bad))
            return [SendToDlq(key, value, str(bad), "decode", place, attempts), Acknowledge(place, "dead")]
        self._bad_in_a_row = 0
        return self._catalogue.take(IncomingProduct(product, value, place, attempts))

    def _count_bad(self, reason: str) -> None:
        self._bad_in_a_row += 1
        if self._bad_in_a_row > self._settings.bad_products_in_a_row:
            raise TooManyBadProducts(
                f"{self._bad_in_a_row} bad messages in a row on `products`, the last because "
                f"{reason}. Look at products.dlq, mend the producer, and start the embedder again."
            )

    def _pause_or_resume(self) -> None:
        """Holds no more products than allowed; heartbeats and the models go on meanwhile."""
        most = self._settings.embedder_backlog_mb << 20
        held = self._catalogue.waiting_bytes
        if self._paused != (held > (most // 2 if self._paused else most)):
            self._paused = not self._paused
            (self._consumer.pause if self._paused else self._consumer.resume)(self._consumer.assignment())
            log.info("reading of products", paused=self._paused, held_mb=held >> 20)

    # Effects

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self._publish(effect)
                case SendToDlq():
                    self._send_to_dlq(effect)
                case Acknowledge():
                    if effect.outcome is not None:
                        self._metrics.products.labels(effect.outcome).inc()
                    self._ledger.fulfil(effect.place)

    def _publish(self, effect: Publish) -> None:
        self._metrics.products.labels(effect.outcome).inc()
        arrived = self._expect(effect.place)

        def on_delivery() -> None:
            if self._server is None:
                arrived()
            else:
                self._server.put(effect.product_id, _point(effect), arrived)

        def on_refusal(reason: str) -> None:
            why = f"Kafka refuses the product's vectors for good: {reason}"
            raw = None if effect.vectors is None else products.encode(effect.vectors.product)
            self._send_to_dlq(SendToDlq(effect.product_id.encode(), raw, why, "publish", effect.place))
            arrived()

        self._publisher.send(
            self._settings.topic(PRODUCT_VECTORS),
            (effect.product_id.encode(), effect.raw, []),
            on_delivery,
            refused=on_refusal,
            is_newest=lambda: self._catalogue.is_newest(effect.product_id, effect.raw),
        )

    def _send_to_dlq(self, effect: SendToDlq) -> None:
        source = _source(self._settings.topic(PRODUCTS), effect.place)
        refused = (effect.key, effect.raw, effect.stage, effect.reason)
        count = self._refusals.sample(*refused) if effect.attempts == 1 else 1
        if not count:
            self._metrics.repeated.inc()
            return
        log.warning("dead letter", reason=effect.reason, stage=effect.stage, source=source)
        self._metrics.dead_letters.labels(effect.stage).inc()
        letter = dead_letter(
            effect.key,
            effect.raw,
            reason=effect.reason,
            stage=effect.stage,
            source=source,
            failed_at=int(now_ms()),
            attempts=effect.attempts,
            count=count,
        )
        self._publisher.send(self._settings.topic(PRODUCTS_DLQ), letter, self._expect(effect.place))

    def _expect(self, place: Place | None) -> Callable[[], None]:
        """What is to be called when an effect of the message at this place has arrived."""
        if place is None:
            return _nothing
        self._ledger.expect(place)
        # In the ledger that it is expected in: partitions may come and go meanwhile.
        return partial(self._fulfil, self._ledger, place, time.perf_counter())

    def _fulfil(self, ledger: Ledger, place: Place, since: float) -> None:
        ledger.fulfil(place)
        self._metrics.acknowledged.observe(time.perf_counter() - since)

    def _hand_on(self) -> None:
        """To the models what waits and finds room; from them what is done; from the broker what it has."""
        for order in self._embedder.collect():
            if order.refusal is not None:
                self._metrics.pictures_refused.labels(type(order.refusal).__name__).inc()
            if order.tries and "image" in order.needs:
                self._metrics.pictures_retried.labels("refused" if order.refusal else "had").inc()
            self._do(self._catalogue.complete(order))
        self._catalogue.retry_pictures()
        if self._embedder.room > 0 and self._catalogue.waiting:
            self._embedder.submit(self._catalogue.orders(self._embedder.room))
            if self._paused:
                self._pause_or_resume()
        self._serve()
        self._metrics.known.set(len(self._catalogue))
        self._metrics.waiting.set(self._catalogue.waiting)
        self._metrics.pictures_to_retry.set(self._catalogue.pictures_to_retry)
        self._metrics.unfinished.set(len(self._ledger))

    def _serve(self) -> None:
        self._publisher.serve()
        if self._server is not None:
            self._server.serve()
            for product_id in islice(self._repairs, REPAIRED_AT_ONCE):
                self._repair(self._server, product_id)

    # Offsets

    def _commit_now_and_then(self) -> None:
        if time.monotonic() - self._committed_at >= COMMIT_EVERY_S:
            self._commit(asynchronous=True)

    def _commit(self, *, asynchronous: bool) -> None:
        self._committed_at = time.monotonic()
        topic = self._settings.topic(PRODUCTS)
        offsets = [TopicPartition(topic, *each) for each in self._ledger.committable().items()]
        if not offsets:
            return
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets not committed, these messages may be read again", error=str(error))

    # Partitions come and go

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Reads what is known anew: until a moment ago another worker may have written it."""
        self._catalogue, self._ledger, self._paused = self._new_catalogue(), Ledger(), False
        self.waiting_for = "product vectors"
        mine = {each.partition for each in partitions}
        ids, gone = read_known(self._settings, self._catalogue, mine, self._stopping, self._reader)
        if self._stopping.is_set():
            return
        for product_id in sorted(gone):
            self._do(self._catalogue.remove(product_id, None))
        anew = self._catalogue.make_anew(sorted(ids))
        log.info(
            "product vectors caught up",
            products=len(self._catalogue),
            anew=anew,
            gone=len(gone),
            partitions=sorted(mine),
        )
        self._repairs = iter(())
        if self._server is not None:
            self._server.look(partial(self._compare_server, self._catalogue, ids, mine))
        if self._from_beginning:
            self._from_beginning = False
            self._consumer.assign(
                [TopicPartition(each.topic, each.partition, OFFSET_BEGINNING) for each in partitions]
            )
        self.waiting_for = None

    def _compare_server(
        self,
        catalogue: Catalogue,
        ids: set[str],
        partitions: Collection[int],
        found: dict[str, PointVersion],
    ) -> None:
        """What the Qdrant server has otherwise than the topic is repaired, as far as it is this worker's.

        An embedder that was killed between the two reads its message again and finds nothing changed; and a
        server may have been away, restored, or made anew.
        """
        if catalogue is not self._catalogue:
            return  # the partitions were dealt anew, and it is looked at again
        surplus = {
            product_id
            for product_id in found
            if product_id not in catalogue
            and partition_of(product_id.encode(), PRODUCT_VECTORS.partitions) in partitions
        }
        log.info("comparing the Qdrant server", found=len(found), products=len(ids), surplus=len(surplus))
        self._in_server = found
        self._repairs = iter([*ids, *surplus])

    def _repair(self, server: ServerIndex, product_id: str) -> None:
        """Gives the server a product as it is now, unless it has it so."""
        found = self._in_server.pop(product_id, None)
        known = next(iter(self._catalogue.vectors_of([product_id])), None)
        if known is None:
            if found is not None:
                self._metrics.repaired.labels("surplus").inc()
                server.put(product_id, None, _nothing)
        elif found != point_version(known.product, known.content):
            self._metrics.repaired.labels("missing" if found is None else "stale").inc()
            server.put(product_id, (known.product, unpack(known.content)), _nothing)

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self.waiting_for = "its partitions"
        self._publisher.flush(FLUSH_S)
        self._commit(asynchronous=False)
        self._catalogue, self._ledger = self._new_catalogue(), Ledger()

    def _on_lost(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        log.warning("partitions lost, what was not committed is done again by whoever has them now")
        self.waiting_for = "its partitions"
        self._catalogue, self._ledger = self._new_catalogue(), Ledger()


def consumer_config(settings: EmbedderSettings) -> ClientConfig:
    """The consumer's configuration: nothing is committed but by the worker."""
    return client_config(settings) | {
        "group.id": settings.topic_prefix + settings.embedder_group,
        "group.instance.id": settings.instance,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 16 * 1024,
        "session.timeout.ms": int(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": int(settings.session_timeout_s * 1000 / 4),
        "logger": LIBRDKAFKA,
    }


def _read_tombstone(key: bytes | None) -> str:
    try:
        return PRODUCT.read_tombstone(key)
    except Unreadable as reason:
        raise BadProduct(str(reason)) from None


def _point(effect: Publish) -> tuple[Product, Vector] | None:
    made = effect.vectors
    return None if made is None else (made.product, unpack(made.content))


def _source(topic: str, place: Place | None) -> str:
    return f"{topic}/{place.partition}/{place.offset}" if place else f"{topic}, read earlier"


def _nothing() -> None:
    """Nobody waits for this effect."""
