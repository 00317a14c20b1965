"""Whether Kafka answers and has ingest's topics: asked in the background, told at once."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from confluent_kafka import KafkaException

from services.kafka import TopicMissing

READY_EVERY_S: Final = 5.0
WAITING_EVERY_S: Final = 0.5
ASK_S: Final = 1.0

TopicsOnBroker = Callable[[float], set[str]]  # blocks up to so many seconds; raises KafkaException


class BrokerProbe:
    """Asks for the topics every few seconds; `waiting_for` is the last answer and never blocks."""

    def __init__(self, topics_on_broker: TopicsOnBroker, needed: Collection[str]) -> None:
        self._topics_on_broker = topics_on_broker
        self._needed = needed
        self.waiting_for: str | None = "the first answer of Kafka"

    async def run(self) -> None:
        """Asks until it is cancelled."""
        while True:
            self.waiting_for = await asyncio.to_thread(self._ask)
            await asyncio.sleep(WAITING_EVERY_S if self.waiting_for else READY_EVERY_S)

    def _ask(self) -> str | None:
        try:
            present = self._topics_on_broker(ASK_S)
        except KafkaException as error:
            return f"Kafka: {error.args[0].str()}"
        missing = sorted(set(self._needed) - present)
        return str(TopicMissing(missing[0])) if missing else None
