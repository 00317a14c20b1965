"""The topics on a real broker are those of schemas/topics.py."""

from confluent_kafka.admin import AdminClient, NewPartitions

from schemas.topics import EVENTS, TOPICS
from services.kafka.admin import create
from services.ops.topics.command import find_differences
from services.ops.topics.drift import Difference
from services.settings import ServiceSettings, TopicSettings
from tests.support.patience import patiently


def find_drift(settings: ServiceSettings) -> list[Difference]:
    found = find_differences(TopicSettings.model_validate(settings.model_dump()))
    return [each for each in found if each.is_drift]


def test_created_topics_are_as_listed(kafka: ServiceSettings) -> None:
    assert find_drift(kafka) == []


def test_creating_again_changes_nothing(kafka: ServiceSettings) -> None:
    assert create(kafka) == []


def test_a_missing_topic_is_named(kafka: ServiceSettings) -> None:
    elsewhere = kafka.model_copy(update={"topic_prefix": kafka.topic_prefix + "other."})
    assert len(find_drift(elsewhere)) == len(TOPICS)
    assert "topics create" in str(find_drift(elsewhere)[0])


def test_a_changed_topic_is_named(kafka: ServiceSettings) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
    name = kafka.topic(EVENTS)
    for future in admin.create_partitions([NewPartitions(name, EVENTS.partitions + 1)]).values():
        future.result()

    @patiently(10, 0.05)
    def the_change_is_seen() -> None:
        assert [str(each) for each in find_drift(kafka)] == [f"{name}: 9 partitions, expected 8 partitions"]

    the_change_is_seen()
