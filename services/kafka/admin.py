"""Administers the broker: topics, their settings and ends, consumer groups and what they have committed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    ListOffsetsResultInfo,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from schemas.topics import TOPICS, durability
from services.kafka.clients import LIBRDKAFKA, TopicMissing, client_config
from services.kafka.ranges import BrokerAway
from services.settings import ServiceSettings

TIMEOUT_S: Final = 15.0

EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST: Final[OffsetSpec] = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]


class KafkaAdmin:
    """One connection to the broker; each question is given `within_s`. All methods raise KafkaException."""

    def __init__(self, settings: ServiceSettings, within_s: float = TIMEOUT_S) -> None:
        self._client = AdminClient(client_config(settings), logger=LIBRDKAFKA)
        self._within_s = within_s

    def cluster(self) -> ClusterMetadata:
        """Brokers and topics, by number and name."""
        return self._client.list_topics(timeout=self._within_s)

    def cluster_id(self) -> str:
        """What the cluster calls itself."""
        found = self._client.describe_cluster(request_timeout=self._within_s).result()
        return str(found.cluster_id)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Those of a topic, in order. Raises TopicMissing."""
        found = self._client.list_topics(topic, timeout=self._within_s).topics[topic]
        if found.error is not None:
            raise TopicMissing(topic)
        return [TopicPartition(topic, number) for number in sorted(found.partitions)]

    def topic_id(self, topic: str) -> str:
        """Kafka's id of a topic (KIP-516): another one once it was made anew. Raises TopicMissing."""
        asked = self._client.describe_topics(TopicCollection([topic]), request_timeout=self._within_s)
        try:
            return str(asked[topic].result().topic_id)
        except KafkaException as error:
            if error.args[0].code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
                raise TopicMissing(topic) from None
            raise

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, ConfigEntry]]:
        """Topic → its settings on the broker."""
        return self._configs(ResourceType.TOPIC, topics)

    def broker_configs(self) -> dict[str, dict[str, ConfigEntry]]:
        """The number of each broker → its settings."""
        return self._configs(ResourceType.BROKER, [str(number) for number in self.cluster().brokers])

    def _configs(self, kind: ResourceType, names: Sequence[str]) -> dict[str, dict[str, ConfigEntry]]:
        if not names:
            return {}
        resources = [ConfigResource(kind, name) for name in names]
        asked = self._client.describe_configs(resources, request_timeout=self._within_s)
        return {resource.name: future.result() for resource, future in asked.items()}

    def set_config(self, topic: str, key: str, value: str) -> None:
        """Sets one setting of a topic, and leaves all others."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        asked = self._client.incremental_alter_configs([resource], request_timeout=self._within_s)
        for future in asked.values():
            future.result()

    def create_topics(self, topics: Sequence[NewTopic]) -> list[str]:
        """The names of those that were created: what exists already, or is made by another, is left alone."""
        if not topics:
            return []
        asked = self._client.create_topics(list(topics), operation_timeout=self._within_s)
        return [name for name, future in asked.items() if _is_new(future.exception())]

    def add_partitions(self, topic: str, count: int) -> None:
        """So many a topic has from now on; another may have seen to it meanwhile."""
        asked = self._client.create_partitions(
            [NewPartitions(topic, count)], operation_timeout=self._within_s
        )
        for future in asked.values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                    raise

    def delete_topics(self, names: Collection[str], gone_within_s: float) -> None:
        """Those that exist."""
        if not names:
            return
        for future in self._client.delete_topics(sorted(names), operation_timeout=gone_within_s).values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise

    def offsets(
        self, parts: Iterable[TopicPartition], spec: OffsetSpec
    ) -> dict[TopicPartition, ListOffsetsResultInfo]:
        """Where each partition begins (EARLIEST) or ends (LATEST), or has its NEWEST message."""
        asked_for = list(parts)
        # librdkafka looks for the leaders first. On a busy machine a new client waits for them in vain now
        # and then, as it has asked already; who has seen the topics knows them.
        for topic in {part.topic for part in asked_for}:
            self._client.list_topics(topic, timeout=self._within_s)
        asked = self._client.list_offsets(dict.fromkeys(asked_for, spec), request_timeout=self._within_s)
        return {part: future.result() for part, future in asked.items()}

    def group_names(self) -> set[str]:
        """The consumer groups that there are. A cluster that never had one takes long to describe any."""
        found = self._client.list_consumer_groups(request_timeout=self._within_s).result()
        return {each.group_id for each in found.valid}

    def group(self, name: str) -> ConsumerGroupDescription | None:
        """A consumer group and its members; None where there is none."""
        [asked] = self._client.describe_consumer_groups([name], request_timeout=self._within_s).values()
        try:
            found: ConsumerGroupDescription = asked.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            return None
        return found

    def read_committed(self, group: str, parts: Sequence[TopicPartition]) -> dict[int, int]:
        """Partition of one topic → the next offset that the group reads; below 0 where it has none."""
        if not parts:
            return {}
        asked = self._client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, list(parts))], request_timeout=self._within_s
        )
        try:
            found = {part.partition: part.offset for part in asked[group].result().topic_partitions}
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            found = {}
        return {part.partition: found.get(part.partition, -1) for part in parts}

    def commit(self, group: str, parts: Sequence[TopicPartition]) -> None:
        """Where a group that nobody is in goes on."""
        request = ConsumerGroupTopicPartitions(group, list(parts))
        self._client.alter_consumer_group_offsets([request], request_timeout=self._within_s)[group].result()

    def delete_groups(self, names: Collection[str]) -> set[str]:
        """Those of the groups that still have members, and so are there still."""
        asked = self._client.delete_consumer_groups(sorted(names), request_timeout=self._within_s)
        return {name for name, future in asked.items() if _is_in_use(future.exception())}


def _is_new(error: BaseException | None) -> bool:
    if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return False
    if error is not None:
        raise error
    return True


def _is_in_use(error: BaseException | None) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() == KafkaError.NON_EMPTY_GROUP


@contextmanager
def require_broker(settings: ServiceSettings, refusal: str | None = None) -> Iterator[None]:
    """Turns a KafkaException of the block into BrokerAway; `refusal` says what the broker does not do."""
    try:
        yield
    except KafkaException as error:
        if refusal is not None:
            reason = error.args[0].str()
            raise BrokerAway(f"Kafka at {settings.kafka_bootstrap} {refusal} ({reason})") from None
        raise BrokerAway.at(settings, error.args[0].str()) from None


def create(settings: ServiceSettings, *, replication: int = 1, in_sync: int | None = None) -> list[str]:
    """Creates what is missing and returns the names created; what exists is left alone.

    What is acknowledged lies on `in_sync` brokers at least; where nothing is said on two of three replicas or
    more.

    Raises KafkaException when the broker does not answer or refuses.
    """
    admin = KafkaAdmin(settings)
    present = admin.cluster().topics
    missing = [
        NewTopic(
            settings.topic(topic),
            topic.partitions,
            replication,
            config=topic.config() | durability(replication, in_sync),
        )
        for topic in TOPICS
        if settings.topic(topic) not in present
    ]
    return admin.create_topics(missing)


def answers(bootstrap: str, within_s: float = 1.0) -> bool:
    """Whether a broker answers there. It is asked while it starts, so librdkafka says nothing."""
    try:
        AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=within_s)
    except KafkaException:
        return False
    return True
