"""Reads a bounded part of a topic once, all partitions, and ends: no consumer group, no commits."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter, methodcaller
from typing import Final, NoReturn, Protocol, TypeVar, cast

from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from schemas.topics import Topic
from services.errors import OperationFailed
from services.kafka.clients import LIBRDKAFKA, TopicMissing, client_config, receive
from services.progress import Progress, Silent
from services.settings import ServiceSettings
from services.time_range import TimeRange

T = TypeVar("T")

MessageHeaders = list[tuple[str, bytes | None]]


class TopicMessage(Protocol):
    """One message, read as confluent_kafka.Message is; it has no error."""

    def topic(self) -> str | None:
        """The topic's full name."""

    def partition(self) -> int | None:
        """The partition that it lies or lay on."""

    def offset(self) -> int | None:
        """Its place there."""

    def key(self) -> bytes | None:
        """The key's bytes."""

    def value(self) -> bytes | None:
        """The value's bytes; None for a tombstone."""

    def timestamp(self) -> tuple[int, int]:
        """Kind and Unix ms."""

    def headers(self) -> object:
        """Names and values, as `headers_of` reads them."""


# confluent_kafka answers with a value and an exception where a name is no UTF-8. `message.headers()` in code
# that runs often does not notice, and the exception comes out of whatever is called next. This call notices.
_read_headers: Final = methodcaller("headers")


def headers_of(message: TopicMessage) -> MessageHeaders:
    """The names and values of a message's headers, in their order.

    None where a name is no UTF-8: Python's clients have no text for it, and no header decides anything.
    """
    try:
        return cast(MessageHeaders, _read_headers(message) or [])
    except (SystemError, UnicodeDecodeError):
        # What it keeps is half made: to read it once more would end the process.
        cast(Message, message).set_headers([])
        return []


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets `start` ≤ o < `end` of one partition; some may be gone, compacted away."""

    topic: str
    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.start)


class HistoryReader(Protocol):
    """Reads ranges of topics: from the broker, or from an archive as if it were the topic."""

    def spans(self, topic: Topic, times: TimeRange = ...) -> list[Span]:
        """What there is of a topic in a range of time, by partition."""

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[TopicMessage]]:
        """The messages of one topic's spans, in batches, each partition in its order."""

    def close(self) -> None:
        """Lets go of connections and files."""


ANSWER_S: Final = 10.0  # for one question to the broker
STALL_S: Final = 60.0  # without a message: longer than a broker's restart
POLL_S: Final = 0.2  # how soon Ctrl-C is noticed
BATCH: Final = 5_000  # messages taken at once, some 3 MB

FATAL: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)

# What a broker says of a topic that is new, or that moves to another.
PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.REPLICA_NOT_AVAILABLE,
    }
)
PATIENTLY: Final = retry(
    retry=retry_if_exception(
        lambda error: isinstance(error, KafkaException) and error.args[0].code() in PASSING
    ),
    stop=stop_after_delay(ANSWER_S),
    wait=wait_fixed(0.1),
    reraise=True,
)


class BrokerAway(OperationFailed):
    """No broker answers, or it stopped to; the text says where and what to do."""

    @classmethod
    def at(cls, settings: ServiceSettings, reason: str) -> "BrokerAway":
        """For the broker of the settings."""
        return cls(
            f"no Kafka broker answers at {settings.kafka_bootstrap} ({reason}): "
            "start it, or set EDDY_KAFKA_BOOTSTRAP"
        )


class RangeReader:
    """Reads what lies on topics now. Raises BrokerAway and TopicMissing."""

    def __init__(self, settings: ServiceSettings, stall_s: float = STALL_S) -> None:
        self._settings = settings
        self._stall_s = stall_s
        self._consumer = Consumer(
            client_config(settings)
            | {
                "group.id": "unused-by-a-bounded-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",  # what retention deletes meanwhile is passed over
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,  # else a small topic is read only when the last long poll is over
                "fetch.queue.backoff.ms": 5,  # the default, a second without fetching, takes 3/4 of the speed
                "logger": LIBRDKAFKA,
            }
        )

    def close(self) -> None:
        """Closes the connection."""
        self._consumer.close()

    def spans(self, topic: Topic, times: TimeRange = TimeRange()) -> list[Span]:  # noqa: B008 - it is frozen
        """The offsets of a topic's messages that the broker took in a range of time, by partition.

        The end is where the topic ends now: what is written later is not read.
        """
        name = self._settings.topic(topic)
        with self._translate_errors():
            found = self._consumer.list_topics(name, timeout=ANSWER_S).topics[name]
            if found.error is not None:
                raise TopicMissing(name)
            parts = [TopicPartition(name, number) for number in sorted(found.partitions)]
            marks = [self._marks(part) for part in parts]
            starts = self._offsets(parts, times.since, [low for low, _ in marks], marks)
            ends = self._offsets(parts, times.until, [high for _, high in marks], marks)
        return [
            Span(name, part.partition, start, min(end, high))
            for part, start, end, (_, high) in zip(parts, starts, ends, marks, strict=True)
        ]

    def read(self, spans: Sequence[Span]) -> Iterator[list[Message]]:
        """The messages of one topic's spans, in batches, each partition in its order; ends with the last."""
        ends = {span.partition: span.end for span in spans if len(span)}
        parts = [TopicPartition(span.topic, span.partition, span.start) for span in spans if len(span)]
        self._consumer.assign(parts)
        self._consumer.resume(parts)  # those that an earlier reading paused stay so otherwise
        heard = time.monotonic()
        while ends:
            received = receive(self._consumer, BATCH, POLL_S)
            messages, ended = self._within_spans(received, ends)
            if messages:
                yield messages
            if messages or ended:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._stall_s:
                self._is_away(f"nothing came for {self._stall_s:.0f} s")
            for partition in ended & ends.keys():
                del ends[partition]
                # A live topic goes on: what lies behind the end need not be fetched.
                self._consumer.pause([TopicPartition(spans[0].topic, partition)])

    def _within_spans(
        self, received: list[Message], ends: Mapping[int, int]
    ) -> tuple[list[Message], set[int]]:
        """The messages within the spans, and the partitions of which nothing more is to come."""
        messages: list[Message] = []
        ended: set[int] = set()
        for message in received:
            partition, error = message.partition() or 0, message.error()
            if error is not None:
                if self._is_end(error):
                    ended.add(partition)
                continue
            offset, end = message.offset() or 0, ends.get(partition, 0)
            if offset < end:
                messages.append(message)
            if offset + 1 >= end:
                ended.add(partition)
        return messages, ended

    def _is_end(self, error: KafkaError) -> bool:
        """Whether a partition's end is reached. Raises what librdkafka does not mend by itself."""
        if error.fatal() or error.code() in FATAL:
            raise BrokerAway(f"Kafka at {self._settings.kafka_bootstrap}: {error.str()}")
        return bool(error.code() == KafkaError._PARTITION_EOF)

    def _offsets(
        self,
        parts: Sequence[TopicPartition],
        time_ms: int | None,
        otherwise: list[int],
        marks: Sequence[tuple[int, int]],
    ) -> list[int]:
        """Each partition's first offset whose message is not older than a time; its end where none is."""
        if time_ms is None:
            return otherwise
        asked = [TopicPartition(part.topic, part.partition, time_ms) for part in parts]
        found = self._offsets_for_times(asked)
        return [high if at < 0 else at for at, (_, high) in zip(found, marks, strict=True)]

    @PATIENTLY
    def _marks(self, part: TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(part, timeout=ANSWER_S)
        return low, high

    @PATIENTLY
    def _offsets_for_times(self, asked: list[TopicPartition]) -> list[int]:
        found = self._consumer.offsets_for_times(asked, timeout=ANSWER_S)
        for part in found:
            if part.error is not None:
                raise KafkaException(part.error)
        return [part.offset for part in found]

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            self._is_away(error.args[0].str())

    def _is_away(self, reason: str) -> NoReturn:
        raise BrokerAway.at(self._settings, reason) from None


@contextmanager
def open_reader(settings: ServiceSettings) -> Iterator[RangeReader]:
    """A reader for the block."""
    reader = RangeReader(settings)
    try:
        yield reader
    finally:
        reader.close()


def holds_messages(settings: ServiceSettings, span: Span) -> bool:
    """Whether a span has any message: the marks of transactions take offsets too. Blocks for one reading."""
    with open_reader(settings) as reader:
        return any(reader.read([span]))


ReaderFactory = Callable[[], AbstractContextManager[HistoryReader]]


def merge_by_time(opened: ReaderFactory, spans: Sequence[Span]) -> Iterator[TopicMessage]:
    """Merges one reader a partition; each partition stays in its own order, whatever its times say.

    A message that is older than one before it in its partition counts as old as that one.
    """
    with ExitStack() as stack:
        readers = [(stack.enter_context(opened()), span) for span in spans if len(span)]
        timed = [_with_times(reader, span) for reader, span in readers]
        for _, message in merge(*timed, key=itemgetter(0)):
            yield message


def _with_times(reader: HistoryReader, span: Span) -> Iterator[tuple[int, TopicMessage]]:
    newest = 0
    for messages in reader.read([span]):
        for message in messages:
            newest = max(newest, message.timestamp()[1])
            yield newest, message


POSITIVE: Final = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Where all producers here put a key: murmur2, as Java's clients have it (librdkafka: murmur2_random)."""
    return int(murmur2(key) & POSITIVE) % partitions


def of_keys(
    reader: HistoryReader,
    topic: Topic,
    keys: Collection[bytes],
    times: TimeRange = TimeRange(),  # noqa: B008 - it is frozen
    progress: Progress = Silent(),  # noqa: B008 - it holds nothing
    *,
    everywhere: bool = False,
) -> Iterator[TopicMessage]:
    """The messages of these keys, each partition in its order; the other partitions are not read.

    `everywhere` reads them all: what was written before a topic got more partitions lies on others than its
    key's. The reader must know all partitions of the topic, as that of a broker does.
    """
    spans = reader.spans(topic, times)
    wanted = spans if everywhere else _spans_of_keys(keys, spans)
    progress.stage(f"looking through {topic.name}", sum(map(len, wanted)))
    sought = frozenset(keys)
    for messages in reader.read(wanted):
        yield from [message for message in messages if message.key() in sought]
        progress.advance(len(messages))


def newest_of_keys(
    reader: HistoryReader, topic: Topic, keys: Collection[bytes], *, everywhere: bool = False
) -> dict[bytes, TopicMessage]:
    """The last message of each key that has any; a tombstone is one. By time where `everywhere` is set."""
    found: dict[bytes, TopicMessage] = {}
    for message in of_keys(reader, topic, keys, everywhere=everywhere):
        key = message.key() or b""
        if key not in found or not everywhere or message.timestamp()[1] >= found[key].timestamp()[1]:
            found[key] = message
    return found


def newest_by_key(
    reader: HistoryReader,
    spans: Sequence[Span],
    take: Callable[[TopicMessage], T],
    progress: Progress = Silent(),  # noqa: B008 - it holds nothing
) -> dict[bytes, T]:
    """Of all keys what `take` makes of the last message, in the order of these messages.

    A key whose last message is a tombstone is left out. All that is taken is held in memory.
    """
    newest: dict[bytes, T] = {}
    for messages in reader.read(spans):
        for message in messages:
            key = message.key() or b""
            newest.pop(key, None)
            if message.value() is not None:
                newest[key] = take(message)
        progress.advance(len(messages))
    return newest


def value_of(message: TopicMessage) -> bytes:
    """The value's bytes; none for a tombstone."""
    return message.value() or b""


def newest_values(reader: HistoryReader, topic: Topic) -> dict[str, bytes]:
    """What lies on a topic now, by key. Raises BrokerAway and TopicMissing."""
    found = newest_by_key(reader, reader.spans(topic), value_of)
    return {key.decode("utf-8", "replace"): value for key, value in found.items()}


def _spans_of_keys(keys: Collection[bytes], spans: Sequence[Span]) -> list[Span]:
    holding = {partition_of(key, len(spans)) for key in keys}
    return [span for span in spans if span.partition in holding]
