"""Creates the topics of `schemas/topics.py`, tells where the broker's differ, and mends what is safe."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from schemas.topics import TOPICS
from services.kafka import client_config
from services.ops.topic_drift import Difference, FoundTopic, compared
from services.settings import ServiceSettings

TIMEOUT_S: Final = 15.0
LOOK_S: Final = 5.0

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


def check(settings: ServiceSettings) -> list[Difference]:
    """Every drift between list and broker; an empty list means all is well. Raises KafkaException."""
    return [each for each in differences(settings) if each.is_drift]


def differences(settings: ServiceSettings, timeout_s: float = LOOK_S) -> list[Difference]:
    """Every difference, and what else is worth knowing. Raises KafkaException."""
    admin = AdminClient(client_config(settings), logger=LIBRDKAFKA)
    metadata = admin.list_topics(timeout=timeout_s)
    mine = {settings.topic(topic) for topic in TOPICS} & metadata.topics.keys()
    configs = configs_of(admin, sorted(mine), timeout_s)
    found = {name: _found(metadata.topics[name], configs[name]) for name in mine}
    return compared(settings.topic_prefix, found, metadata.topics.keys(), brokers=len(metadata.brokers))


def fix(settings: ServiceSettings, found: Iterable[Difference]) -> list[Difference]:
    """Sets what of these can be set safely; returns what was. Raises KafkaException."""
    admin = AdminClient(client_config(settings), logger=LIBRDKAFKA)
    fixed: list[Difference] = []
    for each in found:
        if each.alter is None:
            continue
        key, value = each.alter
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, each.topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values():
            future.result()
        fixed.append(each)
    return fixed


def configs_of(admin: AdminClient, names: list[str], timeout_s: float) -> dict[str, dict[str, ConfigEntry]]:
    """Topic → its settings on the broker. Raises KafkaException."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    asked = admin.describe_configs(resources, request_timeout=timeout_s)
    return {resource.name: future.result() for resource, future in asked.items()}


def _found(topic: TopicMetadata, config: Mapping[str, ConfigEntry]) -> FoundTopic:
    partitions = topic.partitions.values()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG
    return FoundTopic(
        partitions=len(partitions),
        replicas=min((len(each.replicas) for each in partitions), default=0),
        out_of_sync=tuple(sorted(each.id for each in partitions if len(each.isrs) < len(each.replicas))),
        leaderless=tuple(sorted(each.id for each in partitions if each.leader < 0)),
        config={key: str(entry.value) for key, entry in config.items()},
        overrides={
            key: str(entry.value) for key, entry in config.items() if entry.source in {own, own.value}
        },
    )
