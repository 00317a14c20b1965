"""Workers killed at any moment of their first seconds, again and again: no event is left out."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from schemas import events
from schemas.topics import EVENTS
from services.kafka.clients import client_config
from services.settings import ServiceSettings
from tests.support.patience import wait_until
from tests.support.services import run_service
from tests.support.session_topics import SessionTopics, newest_in_table, view

pytestmark = pytest.mark.timeout(200)

GROUPS: Final = 10  # side by side, each reads all events and keeps sessions of its own
RESTARTS: Final = 3  # of each
FIRST_S: Final = 2.0
VISITORS: Final = [f"v{number}" for number in range(24)]  # some in every partition


def environment(group: str) -> dict[str, str]:
    return {"EDDY_SESSION_PROCESSOR_GROUP": group, "EDDY_SESSION_PROCESSOR_INSTANCE": group}


def test_a_worker_killed_in_its_first_seconds_again_and_again_leaves_nothing_out(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    topics = SessionTopics(kafka)
    for number in range(5):
        topics.put_product(number)
    sent = {visitor: [view(visitor, at, at) for at in range(4)] for visitor in VISITORS}
    topics.send_events(*(event for each in sent.values() for event in each[:3]))

    def live_and_be_killed(group: str) -> None:
        chance = random.Random(group)
        for _ in range(RESTARTS):
            until = chance.choice(("/healthz", "/readyz", "/readyz"))
            with run_service(
                "session_processor", kafka, tmp_path / group, environment=environment(group), until=until
            ):
                time.sleep(chance.uniform(0, FIRST_S))

    def settle(group: str) -> None:
        with run_service("session_processor", kafka, tmp_path / group, environment=environment(group)):

            def all_are_there() -> None:
                newest = newest_in_table(kafka, group)
                assert [each for each in VISITORS if newest.get(each) != topics.offline(sent[each])] == []

            wait_until(all_are_there)

    groups = [f"group-{number}" for number in range(GROUPS)]
    with ThreadPoolExecutor(GROUPS) as pool:
        lives = pool.map(live_and_be_killed, groups)
        topics.send_events(*(each[3] for each in sent.values()))
        list(lives)
        list(pool.map(settle, groups))
    for group in groups:
        assert "Traceback" not in (tmp_path / group).read_text()


def test_the_marks_of_a_producers_transactions_are_no_gap(kafka: ServiceSettings, tmp_path: Path) -> None:
    """They take offsets, and nothing is to be read there: neither between two events nor at the end."""
    topics = SessionTopics(kafka)
    topics.put_product(1)
    producer = Producer(
        client_config(kafka) | {"transactional.id": uuid4().hex, "partitioner": "murmur2_random"}
    )
    producer.init_transactions(20)
    sent = [view("v", at, 1) for at in range(3)]

    def send(number: int) -> None:
        producer.begin_transaction()
        producer.produce(kafka.topic(EVENTS), events.encode(sent[number]), b"v")
        producer.commit_transaction(20)

    send(0)
    environment = {"EDDY_STALL_S": "1"}
    with run_service("session_processor", kafka, tmp_path / "log", environment=environment) as service:
        for number in (1, 2):
            send(number)

        def all_are_folded() -> None:
            assert topics.read_published("v")[-1].value() == topics.offline(sent)

        wait_until(all_are_folded)
        silence = time.monotonic() + 5  # more than three times the setting: the mark at the end is no stall

        def ready_after_the_silence() -> None:
            assert time.monotonic() > silence
            service.wait_for("/readyz")

        wait_until(ready_after_the_silence)
    assert "Traceback" not in (tmp_path / "log").read_text()
