"""Notices topics that were deleted and made again, or got more partitions: by id and count, now and then."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

EVERY_S: Final = 2.0
ANSWER_S: Final = 5.0
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


class TopicWatch:
    """Asks the broker for the shapes of topics; for one thread."""

    def __init__(self, config: Mapping[str, str | int | float | bool], topics: Sequence[str]) -> None:
        self._admin = AdminClient(dict(config), logger=logging.getLogger("librdkafka"))
        self._topics = list(topics)
        self._asked: dict[str, Future[object]] | None = None
        self._next = 0.0

    def ask(self) -> Shapes:
        """The shapes now. Blocks; raises KafkaException."""
        return {name: _shape(answer) for name, answer in self._ask().items()}

    def look(self) -> Shapes | None:
        """The newest answer, once every two seconds; None in between, and while the broker is away."""
        if self._asked is None:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY_S
                self._asked = self._ask()
            return None
        if not all(answer.done() for answer in self._asked.values()):
            return None
        answered, self._asked = self._asked, None
        try:
            return {name: _shape(answer) for name, answer in answered.items()}
        except KafkaException:  # whoever reads or writes there says so
            return None

    def _ask(self) -> dict[str, "Future[object]"]:
        found: dict[str, Future[object]] = self._admin.describe_topics(
            TopicCollection(self._topics), request_timeout=ANSWER_S
        )
        return found


def _shape(answer: "Future[object]") -> TopicShape | None:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in MISSING:
            return None
        raise
    return TopicShape(str(found.topic_id), len(found.partitions))  # type: ignore[attr-defined]
