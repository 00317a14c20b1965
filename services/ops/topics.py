"""Creates the topics of `schemas/topics.py`, and checks that those on the broker are still as listed."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.topics import TOPICS, Topic
from services.kafka import client_config
from services.settings import ServiceSettings

TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the broker is not as `schemas/topics.py` says."""

    topic: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.found}, expected {self.expected}"


def create(settings: ServiceSettings, *, replication: int = 1) -> list[str]:
    """Creates what is missing and returns the names created; what exists is left alone.

    Raises KafkaException when the broker does not answer or refuses.
    """
    admin = AdminClient(client_config(settings))
    present = admin.list_topics(timeout=TIMEOUT_S).topics
    missing = [topic for topic in TOPICS if settings.topic(topic) not in present]
    if not missing:
        return []
    wanted = [
        NewTopic(settings.topic(topic), topic.partitions, replication, config=topic.config())
        for topic in missing
    ]
    created = admin.create_topics(wanted, operation_timeout=TIMEOUT_S)
    return [name for name, future in created.items() if _made(future.exception())]


def _made(error: BaseException | None) -> bool:
    if error is None:
        return True
    already = isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    if already:  # somebody else was a moment faster
        return False
    raise error


def check(settings: ServiceSettings) -> list[Difference]:
    """Every difference between the list and the broker; an empty list means all is well."""
    admin = AdminClient(client_config(settings))
    present = admin.list_topics(timeout=TIMEOUT_S).topics
    differences = []
    for topic in TOPICS:
        name = settings.topic(topic)
        if name not in present:
            differences.append(
                Difference(name, "missing", "a topic (`python -m services.ops topics create`)")
            )
            continue
        partitions = len(present[name].partitions)
        if partitions != topic.partitions:
            differences.append(Difference(name, f"{partitions} partitions", f"{topic.partitions} partitions"))
        differences += _config_differences(admin, topic, name)
    return differences


def _config_differences(admin: AdminClient, topic: Topic, name: str) -> list[Difference]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    found = admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource].result()
    return [
        Difference(name, f"{key}={found[key].value}", f"{key}={value}")
        for key, value in topic.config().items()
        if sorted(str(found[key].value).split(",")) != sorted(value.split(","))
    ]
