"""Puts rules and experiments on their topics, and returns when Kafka has them."""

from schemas.topics import Topic
from services.kafka import AcknowledgedProducer, NotDelivered
from services.problems import BrokerAway
from services.settings import ServiceSettings


class Publisher:
    """Messages of topics that people change, one by one."""

    def __init__(self, producer: AcknowledgedProducer, settings: ServiceSettings) -> None:
        self._producer = producer
        self._settings = settings

    async def publish(self, topic: Topic, key: str, message: bytes | None) -> None:
        """Returns once the broker has the message; None is a tombstone. Raises BrokerAway."""
        try:
            await self._producer.send_all(self._settings.topic(topic), [(key.encode(), message, [])])
        except NotDelivered as error:
            raise BrokerAway(str(error)) from error
