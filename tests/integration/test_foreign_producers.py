"""A producer that puts keys where librdkafka does by default: refused with the remedy, then put right."""

from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from schemas import deadletters, events
from schemas.topics import EVENTS, EVENTS_DLQ
from services.kafka.clients import client_config
from services.kafka.ranges import partition_of
from services.ops.dead_letters.command import app
from services.ops.doctor import checks
from services.ops.settings import OpsSettings
from services.settings import ServiceSettings
from tests.support.kafka import read_topic
from tests.support.patience import wait_until
from tests.support.services import run_service
from tests.support.session_topics import SessionTopics, newest_in_table, view


def test_what_lies_on_another_partition_than_its_keys_is_told_and_can_be_put_right(
    kafka: ServiceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = SessionTopics(kafka)
    topics.put_product(1)
    sent = {f"v{number}": view(f"v{number}", 1, 1) for number in range(40)}
    producer = Producer(client_config(kafka))
    for visitor, event in sent.items():
        producer.produce(kafka.topic(EVENTS), events.encode(event), visitor.encode())
    assert producer.flush(10) == 0
    misplaced = {
        message.key()
        for message in read_topic(kafka, EVENTS)
        if partition_of(message.key() or b"", EVENTS.partitions) != message.partition()
    }
    assert 20 < len(misplaced) < 40
    settings = OpsSettings(kafka_bootstrap=kafka.kafka_bootstrap, topic_prefix=kafka.topic_prefix)
    with run_service("session_processor", kafka, tmp_path / "log"):

        def the_others_are_folded() -> None:
            newest = newest_in_table(kafka, "session-processor")
            assert {each.encode() for each in newest} == {each.encode() for each in sent} - misplaced
            assert {each.key() for each in read_topic(kafka, EVENTS_DLQ)} == misplaced

        wait_until(the_others_are_folded)
        headers = dict(cast("list[tuple[str, bytes]]", read_topic(kafka, EVENTS_DLQ)[0].headers()))
        assert b"set partitioner=murmur2_random" in headers[deadletters.REASON]
        [told] = [each for each in checks.dead_letters(settings) if each.check == "producers of events"]
        assert (told.state, f"{len(misplaced)} messages" in told.found) == ("bad", True)
        assert "set partitioner=murmur2_random there" in told.what_to_do

        monkeypatch.setenv("EDDY_KAFKA_BOOTSTRAP", kafka.kafka_bootstrap)
        monkeypatch.setenv("EDDY_TOPIC_PREFIX", kafka.topic_prefix)
        done = CliRunner().invoke(app, ["requeue", "--reason", "partitioner", "--yes"])
        assert done.exit_code == 0, done.output

        def all_are_folded() -> None:
            newest = newest_in_table(kafka, "session-processor")
            for visitor, event in sent.items():
                assert newest.get(visitor) == topics.offline([event])

        wait_until(all_are_folded)
        assert [each.check for each in checks.dead_letters(settings)] == [
            "dead letters of events",
            "dead letters of products",
        ]
