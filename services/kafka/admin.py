"""Administers the broker: topics of `schemas/topics.py` created, their settings read."""

import logging
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.topics import TOPICS
from services.kafka.clients import client_config
from services.settings import ServiceSettings

TIMEOUT_S: Final = 15.0


LIBRDKAFKA: Final = logging.getLogger("librdkafka")  # `shell.settings` decides what is heard of it


def create(settings: ServiceSettings, *, replication: int = 1) -> list[str]:
    """Creates what is missing and returns the names created; what exists is left alone.

    Raises KafkaException when the broker does not answer or refuses.
    """
    admin = AdminClient(client_config(settings), logger=LIBRDKAFKA)
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


def configs_of(admin: AdminClient, names: list[str], timeout_s: float) -> dict[str, dict[str, ConfigEntry]]:
    """Topic → its settings on the broker. Raises KafkaException."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    asked = admin.describe_configs(resources, request_timeout=timeout_s)
    return {resource.name: future.result() for resource, future in asked.items()}
