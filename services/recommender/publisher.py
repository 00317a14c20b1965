"""Puts rules and experiments on their topics, and returns when Kafka has them."""

from http import HTTPStatus

from schemas.topics import Topic
from services.kafka import AcknowledgedProducer, NotDelivered
from services.problems import Problem
from services.settings import ServiceSettings


class BrokerAway(Problem):
    """Kafka did not acknowledge; what was asked for has not been done, and may be asked for again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "broker-away"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Kafka has not acknowledged ({reason}): send the same again", headers={"Retry-After": "1"}
        )


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
