"""Kafka clients as every service builds them: connection, acknowledged sends, whole-topic readers."""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from services.clock import now_ms
from services.errors import OperationFailed
from services.kafka.topic_watch import Shapes, ShapeSource, TopicShape, TopicWatch
from services.settings import ServiceSettings
from services.version import CLIENT_ID

ClientConfig = dict[str, Any]  # what librdkafka takes, and a logger
Headers = list[tuple[str, str | bytes | None]]

T = TypeVar("T")

log = structlog.get_logger()

POLL_S: Final = 0.2  # how soon a stopping reader notices
BATCH: Final = 512


class RepeatFilter(logging.Filter):
    """Lets a line that differs from former ones in its numbers only through once in half a minute.

    While the broker is away each client tries and logs ten times a second. Setting
    `metadata.recovery.strategy` to none would end that, but also leave a client without any broker for ever
    whose only one was missing in one answer, as while it started (seen after kill -9 and SIGSTOP of it).
    """

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        line, now = re.sub(r"\d+", "0", record.getMessage()), time.monotonic()
        if now - self._logged_at.get(line, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._logged_at) >= LINES_MAX:
            self._logged_at.clear()
        self._logged_at[line] = now
        return True


REPEAT_S: Final = 30.0
LINES_MAX: Final = 1_000
LIBRDKAFKA: Final = logging.getLogger("librdkafka")
LIBRDKAFKA.addFilter(RepeatFilter())


def client_config(settings: ServiceSettings) -> ClientConfig:
    """librdkafka's connection settings."""
    config: ClientConfig = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": CLIENT_ID,
        "security.protocol": settings.kafka_security_protocol,
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 1000,  # a restarted broker is found again within a second
    }
    if settings.kafka_ca_file:
        config["ssl.ca.location"] = settings.kafka_ca_file
    if settings.kafka_username and settings.kafka_password:
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_username,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    return config


def producer_config(settings: ServiceSettings, *, linger_ms: float, timeout_ms: int) -> ClientConfig:
    """An idempotent producer; a message not acknowledged within `timeout_ms` is reported as failed."""
    return client_config(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": linger_ms,
        "delivery.timeout.ms": timeout_ms,
        # The partitioner of Java clients and aiokafka, so that every tool puts a key in the same place.
        "partitioner": "murmur2_random",
    }


# What the broker says of a message that it will never take, however often it comes.
FOR_GOOD: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION}
)


class NotDelivered(Exception):
    """The broker did not acknowledge a message: in time, or for good.

    `refused`: by the message's place in the call, why the broker will never take it. `delivered`: how many of
    the `total` messages the broker has by now; others may still arrive. Both are 0 where nobody counted.
    """

    def __init__(
        self, reason: str, *, refused: Mapping[int, str] | None = None, delivered: int = 0, total: int = 0
    ) -> None:
        super().__init__(f"{reason}; {delivered} of {total} messages are written" if total > 1 else reason)
        self.refused = dict(refused or {})
        self.delivered = delivered
        self.total = total

    @property
    def is_final(self) -> bool:
        """Whether all that is missing is refused for good: it is of no use to send it again."""
        return bool(self.refused) and len(self.refused) + self.delivered >= self.total


# librdkafka looks for messages that are out of time only once a second; the caller does not wait for that.
PATIENCE_S: Final = 0.1
BREATH: Final = 200  # messages after which a large batch lets other requests in

OutgoingMessage = tuple[bytes | None, bytes | None, Headers]  # key, value (None: a tombstone), headers


class AcknowledgedProducer:
    """Sends from an asyncio loop and waits for the broker's word; deliveries are served by its own thread.

    `on_fatal` is called, in that thread, when the producer can send nothing ever again: an idempotent
    producer whose sequence the broker has lost. The process is to be started anew then.
    """

    def __init__(self, config: ClientConfig, on_fatal: Callable[[KafkaError], None] | None = None) -> None:
        self._on_fatal = on_fatal
        self._patience_s = float(config.get("delivery.timeout.ms", 300_000)) / 1000 + PATIENCE_S
        callbacks = {"error_cb": self._end_if_fatal, "logger": LIBRDKAFKA}
        self._producer = Producer(config | callbacks)
        self.cluster_id: str | None = None  # which Kafka it is, once `topics` has been asked for
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-deliveries", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_S)

    def _end_if_fatal(self, error: KafkaError) -> None:
        if not error.fatal():  # librdkafka goes on trying, and has logged it
            return
        log.critical("the Kafka producer can send no more", error=error.str())
        if self._on_fatal is not None:
            self._on_fatal(error)

    async def send_all(self, topic: str, messages: Sequence[OutgoingMessage]) -> None:
        """Sends (key, value, headers) messages and returns once the broker has every one of them.

        Raises NotDelivered when any was refused or not acknowledged in time, or the local buffer is full.
        Messages of such a call may still arrive: senders try again, readers know an event by its id. One that
        is refused for good takes none of the others with it.
        """
        if not messages:
            return
        failed = await self._attempt(topic, dict(enumerate(messages)))
        if len(messages) > 1:
            # A broker refuses a whole batch for its size: alone, those that are small enough are taken.
            for place in [each for each, error in failed.items() if _is_final(error)]:
                del failed[place]
                failed |= await self._attempt(topic, {place: messages[place]})
        if failed:
            reasons = {place: error.str() for place, error in failed.items() if _is_final(error)}
            passing = next((each.str() for each in failed.values() if not _is_final(each)), None)
            raise NotDelivered(
                passing or next(iter(reasons.values())),
                refused=reasons,
                delivered=len(messages) - len(failed),
                total=len(messages),
            )

    async def _attempt(self, topic: str, messages: Mapping[int, OutgoingMessage]) -> dict[int, KafkaError]:
        """Sends these; which of them were not delivered. Raises NotDelivered where nobody can tell."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        delivery = _Deliveries(len(messages), loop, done)
        try:
            for number, (place, (key, value, headers)) in enumerate(messages.items(), start=1):
                report = partial(delivery.report_at, place)
                try:
                    self._producer.produce(topic, value, key, on_delivery=report, headers=headers)
                except KafkaException as error:
                    if not _is_final(error.args[0]):
                        raise
                    delivery.report_at(place, error.args[0], None)
                if number % BREATH == 0:
                    await asyncio.sleep(0)
        except (BufferError, KafkaException) as error:
            raise NotDelivered(str(error), delivered=delivery.delivered, total=len(messages)) from error
        try:
            async with asyncio.timeout(self._patience_s):
                with suppress(NotDelivered):
                    await done
        except TimeoutError:
            raise NotDelivered(
                "the broker does not answer", delivered=delivery.delivered, total=len(messages)
            ) from None
        return delivery.failed

    def begin(self, messages: Sequence[tuple[str, OutgoingMessage]]) -> asyncio.Future[None]:
        """Hands (topic, message) pairs over at once; done when the broker has every one of them.

        The future fails with NotDelivered when any was refused, not acknowledged in time, or found no room.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        delivery = _Deliveries(len(messages), loop, done)
        try:
            for topic, (key, value, headers) in messages:
                self._producer.produce(topic, value, key, on_delivery=delivery.report, headers=headers)
        except (BufferError, KafkaException) as error:
            done.set_exception(NotDelivered(str(error)))
        return done

    def topics(self, timeout_s: float) -> set[str]:
        """The names of all topics on the broker. Blocks; raises KafkaException when none answers in time."""
        found = self._producer.list_topics(timeout=timeout_s)
        self.cluster_id = found.cluster_id
        return set(found.topics)

    def close(self, timeout_s: float = 5.0) -> None:
        """Waits for what is under way, then stops the thread. Blocks."""
        self._producer.flush(timeout_s)
        self._stopping.set()
        self._thread.join()


class _Deliveries:
    """Counts the broker's answers for one call, in the delivery thread, and wakes the caller at the last."""

    def __init__(self, expected: int, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        self._missing = expected
        self._lock = threading.Lock()  # what librdkafka refuses at once is reported by the caller's thread
        self.failed: dict[int, KafkaError] = {}  # by place; of those who report one
        self.delivered = 0
        self._error: KafkaError | None = None
        self._loop = loop
        self._done = done

    def report_at(self, place: int, error: KafkaError | None, message: Message | None) -> None:
        """Of the message at this place in the call; may come from the caller's own thread."""
        if error is not None:
            self.failed[place] = error
        else:
            self.delivered += 1
        self.report(error, message)

    def report(self, error: KafkaError | None, _message: Message | None) -> None:
        with self._lock:
            self._missing -= 1
            is_last = self._missing == 0
        self._error = self._error or error
        # A closed loop has nobody left who waits; raising here would end the delivery thread.
        if is_last and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if self._done.done():  # the caller was cancelled while it waited, or ran out of patience
            return
        if self._error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(NotDelivered(self._error.str()))


def _is_final(error: KafkaError) -> bool:
    return error.code() in FOR_GOOD


class TopicMissing(OperationFailed):
    """A topic that should have been created is not on the broker."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} is missing: run `python -m services.ops topics create`")


OnMessages = Callable[[list[Message]], None]


@dataclass(frozen=True, slots=True)
class Gone:
    """A tombstone that nobody sent: the topic was made anew, and its key is not there any more."""

    _key: bytes
    _topic: str

    def topic(self) -> str:
        """The topic's full name."""
        return self._topic

    def partition(self) -> int:
        """Of none."""
        return -1

    def offset(self) -> int:
        """At none."""
        return -1

    def key(self) -> bytes:
        """Whose tombstone it is."""
        return self._key

    def value(self) -> None:
        """None: a tombstone."""

    def timestamp(self) -> tuple[int, int]:
        """Now; Unix ms."""
        return TIMESTAMP_CREATE_TIME, int(now_ms())

    def headers(self) -> None:
        """None."""

    def error(self) -> None:
        """None."""


def receive(consumer: Consumer, most: int, timeout_s: float) -> list[Message]:
    """What has come, at most so many messages and events; waits only while there is nothing.

    `consume` alone waits until it has as many as were asked for: a small topic takes the whole time.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(most - 1, timeout=0)]


@dataclass(frozen=True, slots=True)
class TopicPosition:
    """How far a topic was read: which topic that was, and by partition the offset of what comes next."""

    shape: TopicShape
    offsets: Mapping[int, int]


class TopicReader:
    """Reads whole topics, from their beginning and then on, in its own thread; no consumer group, no commits.

    `on_messages` is called in that thread, with the messages in each partition's order. What it raises stops
    the reader; `failure` holds it, and `on_failure` is called, so that the process can end rather than go on
    with a replica that silently stands still.

    A topic that was deleted and made again, or has got more partitions, is read again from its beginning, and
    is not caught up meanwhile. What is not there any more is handed over as a tombstone (`Gone`), at the end.
    `held` is called at such a beginning and answers the keys of which something is held, by topic; without it
    the reader keeps them. `outdates`: who takes the messages ignores older values, so each key's tombstone
    goes before its first message.

    Who has kept what was read before may `resume` where that ends.
    """

    def __init__(
        self,
        config: ClientConfig,
        topics: Sequence[str],
        on_messages: OnMessages,
        on_failure: Callable[[BaseException], None],
        *,
        held: Callable[[], Iterable[tuple[str, bytes]]] | None = None,
        outdates: bool = False,
    ) -> None:
        self._connection = config
        self._config = config | {
            "group.id": "unused-by-a-whole-topic-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "auto.offset.reset": "error",  # where it stood is no more: all is read again
            "fetch.queue.backoff.ms": 5,
            "isolation.level": "read_committed",
            "logger": LIBRDKAFKA,
        }
        self._topics = topics
        self._on_messages = on_messages
        self._on_failure = on_failure
        self._held = held
        self._keys: set[tuple[str, bytes]] = set()
        self._outdates = outdates
        self._unseen: set[tuple[str, bytes]] = set()
        self._is_lost = False
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"read-{'+'.join(topics)}", daemon=True)
        self._behind: dict[tuple[str, int], int] = {}
        self._shapes: Shapes = {}
        self._next: dict[tuple[str, int], int] = {}  # offsets: what comes before is handed over
        self._resumed: Mapping[str, TopicPosition] = {}
        self.failure: BaseException | None = None

    def resume(self, positions: Mapping[str, TopicPosition], keys: Iterable[tuple[str, bytes]]) -> None:
        """Before the start: what lies before these positions is known, and comes to these keys, by topic.

        Where one of the topics is another one by now, all is read, as it is when that happens later.
        """
        self._resumed = positions
        self._keys.update(keys)

    @property
    def positions(self) -> dict[str, TopicPosition]:
        """How far what was read has been handed over, by topic; of one that nobody answered for nothing."""
        following = dict(self._next)
        return {
            topic: TopicPosition(shape, {part: at for (name, part), at in following.items() if name == topic})
            for topic, shape in self._shapes.items()
            if shape is not None
        }

    def start(self, shapes: ShapeSource | None = None) -> None:
        """Connects and starts reading; returns at once. `shapes`: what others that read ask, too."""
        self._watch = TopicWatch(self._connection, self._topics, shapes)
        self._consumer = Consumer(self._config)
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread and closes the connection."""
        self._stopping.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join()
            self._consumer.close()

    @property
    def caught_up(self) -> bool:
        """Whether all that lay on the topics when they were last read from the beginning was handed over."""
        return self._caught_up.is_set()

    def wait_until_caught_up(self, timeout_s: float | None = None) -> bool:
        """Blocks until caught up, or stopped; False when that took too long. Raises what ended the reader."""
        done = self._caught_up.wait(timeout_s)
        if self.failure is not None:
            raise self.failure
        return done

    def _run(self) -> None:
        try:
            shapes = self._retry(self._watch.ask)
            for topic, shape in shapes.items():
                if shape is None:
                    raise TopicMissing(topic)
            self._shapes = shapes
            self._take_up()
            self._assign()
            while not self._stopping.is_set():
                self._look_at_topics()
                self._read_once()
        except BaseException as error:  # noqa: BLE001 - handed to the owner, who ends the process
            if not self._stopping.is_set():
                log.error("topic reader stopped", topics=list(self._topics), error=str(error))
                self.failure = error
                self._on_failure(error)
        finally:
            self._caught_up.set()  # nobody is to wait for what reads no more

    def _take_up(self) -> None:
        if not self._resumed:
            return
        if any(self._shapes.get(topic) != known.shape for topic, known in self._resumed.items()):
            log.warning("a topic is another one than what was kept of it: it is read from its beginning")
            self._unseen = set(self._keys)
            return
        self._next = {
            (topic, part): at for topic, known in self._resumed.items() for part, at in known.offsets.items()
        }

    def _look_at_topics(self) -> None:
        found = self._watch.look()
        if found is not None and (missing := [name for name, shape in found.items() if shape is None]):
            if self._caught_up.is_set():
                log.warning("a topic is gone, waiting for it to be made again", topics=missing)
            self._caught_up.clear()
        elif found is not None and (found != self._shapes or self._is_lost):
            self._start_over(found)
        elif found is not None:
            self._note_progress()  # a topic that was missed for a moment

    def _start_over(self, shapes: Shapes) -> None:
        """A new client: the old one takes a new topic of the same name for the old one."""
        log.warning(
            "a topic was made anew: it is read again from its beginning",
            topics={name: str(shape) for name, shape in shapes.items()},
        )
        self._caught_up.clear()
        self._consumer.close()
        self._consumer = Consumer(self._config)
        self._shapes, self._is_lost = shapes, False
        self._unseen = set(self._keys if self._held is None else self._held())
        self._behind.clear()
        self._next.clear()
        self._assign()

    def _assign(self) -> None:
        partitions = [
            TopicPartition(topic, number, self._next.get((topic, number), OFFSET_BEGINNING))
            for topic, shape in self._shapes.items()
            for number in range(shape.partitions if shape else 0)
        ]
        for part in partitions:
            low, high = self._retry(partial(self._consumer.get_watermark_offsets, part, timeout=5))
            if high > max(low, part.offset):
                self._behind[part.topic, part.partition] = high
        self._consumer.assign(partitions)
        self._note_progress()

    def _retry(self, call: Callable[[], T]) -> T:
        """Asks until the broker answers: one that is away at the start is waited for, not crashed upon."""
        while True:
            try:
                return call()
            except KafkaException as error:
                log.warning("broker does not answer, asking again", error=str(error))
                if self._stopping.wait(1.0):
                    raise

    def _read_once(self) -> None:
        received = receive(self._consumer, BATCH, POLL_S)
        if not received:
            self._note_positions()
            return
        messages = [message for message in received if self._is_data(message)]
        if messages:
            self._hand_over(messages)
            self._note_messages(messages)

    def _hand_over(self, messages: list[Message]) -> None:
        if self._unseen or self._held is None:
            places = [(str(message.topic()), message.key() or b"") for message in messages]
            if again := self._unseen.intersection(places):
                self._unseen -= again
                if self._outdates:
                    self._hand_over_tombstones(again)
            if self._held is None:
                for place, message in zip(places, messages, strict=True):
                    (self._keys.discard if message.value() is None else self._keys.add)(place)
        self._on_messages(messages)

    def _hand_over_tombstones(self, places: Iterable[tuple[str, bytes]]) -> None:
        gone = [Gone(key, topic) for topic, key in sorted(places)]
        for start in range(0, len(gone), BATCH):
            self._on_messages(cast("list[Message]", gone[start : start + BATCH]))

    def _is_data(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._is_lost = True
            self._caught_up.clear()
        log.warning("kafka", error=error.str())
        return False

    def _note_messages(self, messages: list[Message]) -> None:
        newest = {
            (str(message.topic()), int(message.partition() or 0)): int(message.offset() or 0) + 1
            for message in messages
        }
        self._next |= newest
        if self._behind:
            for place, following in newest.items():
                if following >= self._behind.get(place, 1 << 62):
                    del self._behind[place]
            self._note_progress()

    def _note_positions(self) -> None:
        """A compacted tail holds no messages to see: the position tells that the end was reached."""
        if self._behind:
            for part in self._consumer.position([TopicPartition(*place) for place in self._behind]):
                if part.offset >= self._behind[part.topic, part.partition]:
                    del self._behind[part.topic, part.partition]
            self._note_progress()

    def _note_progress(self) -> None:
        if not self._behind and not self._is_lost and not self._caught_up.is_set():
            gone, self._unseen = self._unseen, set()
            self._keys -= gone
            self._hand_over_tombstones(gone)
            self._caught_up.set()
