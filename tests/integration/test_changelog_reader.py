"""What a session processor reads back from its changelog: the newest of each key, as far as it came."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from faust.types import TP

from services.kafka.admin import KafkaAdmin
from services.kafka.clients import client_config
from services.session_processor.recovery import ChangelogReader
from services.settings import ServiceSettings
from tests.support.kafka import quick_config

PARTITIONS = 2


@pytest.fixture
def write(kafka: ServiceSettings) -> Callable[[int, str, bytes | None], None]:
    KafkaAdmin(kafka).create_topics([NewTopic(changelog(kafka), PARTITIONS, 1)])
    producer = Producer(quick_config(kafka, linger_ms=0))

    def put(partition: int, key: str, value: bytes | None) -> None:
        producer.produce(changelog(kafka), value, key, partition)
        assert producer.flush(20) == 0

    return put


def changelog(settings: ServiceSettings) -> str:
    return f"{settings.topic_prefix}changelog"


def test_the_newest_of_each_key_counts_a_tombstone_too(
    kafka: ServiceSettings, write: Callable[[int, str, bytes | None], None]
) -> None:
    for key, value in (("anna", b"1"), ("bert", b"1"), ("anna", b"2"), ("bert", None)):
        write(0, key, value)
    write(1, "carl", b"3")
    name = changelog(kafka)
    first, second = TP(name, 0), TP(name, 1)
    found = ChangelogReader(client_config(kafka)).read({first: 0, second: 0})
    assert found.newest == {b"anna": (b"2", 0), b"bert": (None, 0), b"carl": (b"3", 1)}
    assert found.last == {first: 3, second: 0}


def test_what_was_read_before_is_not_read_again(
    kafka: ServiceSettings, write: Callable[[int, str, bytes | None], None]
) -> None:
    for number in range(5):
        write(0, f"v{number}", b"1")
    part = TP(changelog(kafka), 0)
    found = ChangelogReader(client_config(kafka)).read({part: 3})
    assert found.newest.keys() == {b"v3", b"v4"}
    assert found.last == {part: 4}


def test_when_its_time_is_over_or_it_is_stopped_it_claims_nothing_more(
    kafka: ServiceSettings, write: Callable[[int, str, bytes | None], None]
) -> None:
    write(0, "anna", b"1")
    reader = ChangelogReader(client_config(kafka))
    assert reader.read({TP(changelog(kafka), 0): 0}, within_s=0) == ({}, {})
    reader.stop()
    assert reader.read({TP(changelog(kafka), 0): 0}) == ({}, {})
