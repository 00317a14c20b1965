"""Notices topics that were deleted and made again, or got more partitions: by id and count, now and then."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

EVERY_S: Final = 2.0
ANSWER_S: Final = 5.0
QUIET_S: Final = 2.0  # a process that ends waits for this at most
MISSING: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_ID}
)


@dataclass(frozen=True, slots=True)
class TopicShape:
    """Another one means another topic: Kafka's id of it (KIP-516), and how many partitions it has."""

    topic_id: str
    partitions: int

    def __str__(self) -> str:
        return f"id {self.topic_id}, {self.partitions} partitions"


class TopicChanged(Exception):
    """A topic was deleted and made again, or has got more partitions; who reads it starts anew."""

    def __init__(self, topic: str, before: TopicShape, after: TopicShape) -> None:
        super().__init__(
            f"the topic {topic} is another one ({after}; before: {before}): the next start reads it from its "
            "beginning"
        )


Shapes = Mapping[str, TopicShape | None]  # by topic; None: it is not there


class ShapeSource:
    """Asks the broker for the shapes of topics every two seconds, for any number of watches in any threads.

    Each has a client of Kafka and a thread, so readers of one process do well to share it.
    """

    def __init__(self, config: Mapping[str, str | int | float | bool], topics: Sequence[str]) -> None:
        self._admin = AdminClient(dict(config), logger=logging.getLogger("librdkafka"))
        self._topics = list(topics)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._lock = Lock()
        self._asked: Future[Shapes] | None = None
        self._next = 0.0
        self._newest: Shapes = {}
        self._answered = 0  # the number of the question that it answers
        self.begun = 0  # questions so far

    def ask(self, topics: Sequence[str]) -> Shapes:
        """The shapes of these topics now. Blocks; raises KafkaException."""
        # While no broker answers, librdkafka's threads turn in circles for a description, with a whole core;
        # they wait quietly for metadata, so these are asked for first.
        self._admin.list_topics(topics[0], timeout=QUIET_S)
        found: dict[str, Future[object]] = self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=ANSWER_S
        )
        return {name: _shape(answer) for name, answer in found.items()}

    def look(self, seen: int) -> tuple[int, Shapes] | None:
        """The newest answer and its question's number, where that is above `seen`."""
        with self._lock:
            self._advance()
            return (self._answered, self._newest) if self._answered > seen else None

    def _advance(self) -> None:
        if self._asked is None:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY_S
                self._asked = self._threads.submit(self.ask, self._topics)
                self.begun += 1
        elif self._asked.done():
            answered, self._asked = self._asked, None
            with suppress(KafkaException):  # whoever reads or writes there says so
                self._newest = answered.result()
                self._answered = self.begun


class TopicWatch:
    """Asks the broker for the shapes of topics; for one thread, which it does not hold up.

    `source`: one that others ask, too, about these topics and more.
    """

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        topics: Sequence[str],
        source: ShapeSource | None = None,
    ) -> None:
        self._source = source or ShapeSource(config, topics)
        self._topics = list(topics)
        self._seen = 0

    def ask(self) -> Shapes:
        """The shapes now. Blocks; raises KafkaException."""
        found = self._source.ask(self._topics)
        self._seen = self._source.begun  # answers to what was asked before are older than this one
        return found

    def look(self) -> Shapes | None:
        """The newest answer, once every two seconds; None in between, and while the broker is away."""
        newer = self._source.look(self._seen)
        if newer is None:
            return None
        self._seen, found = newer
        return {topic: found[topic] for topic in self._topics}


def _shape(answer: "Future[object]") -> TopicShape | None:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in MISSING:
            return None
        raise
    return TopicShape(str(found.topic_id), len(found.partitions))  # type: ignore[attr-defined]
