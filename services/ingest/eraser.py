"""A visitor is to be forgotten: told to Kafka, for all that are the same person."""

import asyncio

from schemas.topics import ERASURES, IDENTITIES
from services.history import erasing
from services.history.partitions import BrokerAway as HistoryAway
from services.ingest.metrics import Metrics
from services.kafka import AcknowledgedProducer, NotDelivered, TopicMissing
from services.problems import BrokerAway
from services.settings import ServiceSettings


class Eraser:
    """Writes `erasures`, and parts the person's visitors on `identities`."""

    def __init__(self, producer: AcknowledgedProducer, settings: ServiceSettings, metrics: Metrics) -> None:
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def erase(self, visitor_id: str, *, at: int, reason: str) -> tuple[str, ...]:
        """Returns once Kafka has it: the visitors that are erased. `at` is Unix ms. Raises BrokerAway."""
        try:
            person = await asyncio.to_thread(erasing.person_of, self._settings, visitor_id)
            erasures, parted = erasing.messages(person, at, reason)
            await self._producer.send_all(self._settings.topic(ERASURES), erasures)
            await self._producer.send_all(self._settings.topic(IDENTITIES), parted)
        except (HistoryAway, TopicMissing, NotDelivered) as error:
            raise BrokerAway(str(error)) from error
        self._metrics.visitors_erased.inc(len(person.visitor_ids))
        return person.visitor_ids
