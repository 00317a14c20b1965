"""`lag`, `topics check` and `doctor` on a real broker."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from infra.stack.broker import Broker
from schemas import deadletters, events
from schemas.events import Event
from schemas.topics import EVENTS, EVENTS_DLQ, PRODUCTS
from services.settings import ServiceSettings
from tests.support.machine import free_ports
from tests.support.operator import CommandOutput, run_command, settings_without_services
from tests.support.patience import patiently
from tests.support.services import RunningService, run_service
from tests.support.shop import Shop, open_shop


def admin(kafka: ServiceSettings) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})


def configure(kafka: ServiceSettings, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = admin(kafka)
    for future in client.incremental_alter_configs([resource]).values():
        future.result()


def put(kafka: ServiceSettings, topic: str, *messages: tuple[bytes, int], **more: Any) -> None:
    """(value, Unix ms) pairs to partition 0."""
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    for value, at in messages:
        producer.produce(topic, value, b"key", partition=0, timestamp=at, **more)
    assert producer.flush(10) == 0


def commit(kafka: ServiceSettings, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": kafka.kafka_bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def groups(result: CommandOutput) -> dict[str, Any]:
    return {each["service"]: each for each in json.loads(result.out)["groups"]}


def test_lag_tells_what_waits_since_when_and_that_nobody_reads(kafka: ServiceSettings) -> None:
    topic, hour_ago = kafka.topic(EVENTS), int(time.time() * 1000) - 3_600_000
    put(kafka, topic, *((b"{}", hour_ago + 60_000 * number) for number in range(5)))
    commit(kafka, f"{kafka.topic_prefix}session-processor", topic, 2)
    found = groups(run_command(settings_without_services(kafka), "lag", "--json"))
    events = found["session_processor"]
    assert events["lag"] == 3
    assert events["members"] == []
    assert events["oldest_unread_s"] == pytest.approx(3600 - 120, abs=60)
    [first, *others] = events["partitions"]
    assert (first["committed"], first["end"], first["lag"]) == (2, 5, 3)
    assert first["oldest_unread_at"] == hour_ago + 120_000
    assert [each["committed"] for each in others] == [None] * 7
    assert "python -m services.session_processor" in events["what_to_do"]
    assert found["embedder"]["lag"] == 0
    result = run_command(settings_without_services(kafka), "lag", "--max", "2", status=1)
    assert "session-processor is 3 behind; --max allows 2" in result.err
    only = run_command(settings_without_services(kafka), "lag", "--group", "embedder", "--max", "0")
    assert "session-processor reads" not in only.out
    assert (
        "there are session-processor, embedder"
        in run_command(settings_without_services(kafka), "lag", "--group", "x", status=2).err
    )


def test_a_worker_that_reads_is_named_and_keeps_up(kafka: ServiceSettings, tmp_path: Path) -> None:
    with run_service("session_processor", kafka, tmp_path / "log") as worker:
        put(kafka, kafka.topic(EVENTS), *((b"no event", 0) for _ in range(3)))

        @patiently(20, 0.2)
        def check_caught_up() -> None:
            found = groups(run_command(settings_without_services(kafka), "lag", "--json"))[
                "session_processor"
            ]
            assert (found["lag"], found["state"], found["what_to_do"]) == (0, "STABLE", "")
            assert {each["member"] for each in found["partitions"]} == {found["members"][0]["name"]}

        check_caught_up()
        assert str(worker.port) in run_command(settings_without_services(kafka), "lag").out


@patiently(10)
def drifting(kafka: ServiceSettings, expected: set[tuple[str, str]]) -> None:
    """What a broker was told, it tells a moment later."""
    result = run_command(
        settings_without_services(kafka), "topics", "check", "--json", status=1 if expected else 0
    )
    found = json.loads(result.out)["differences"]
    assert {(each["topic"], each["kind"]) for each in found} == expected


def test_drift_is_told_with_what_to_do_and_what_is_safe_is_set(kafka: ServiceSettings) -> None:
    events, products = kafka.topic(EVENTS), kafka.topic(PRODUCTS)
    configure(kafka, events, "retention.ms", str(90 * 86_400_000))
    configure(kafka, products, "cleanup.policy", "delete")
    client = admin(kafka)
    [future] = client.create_topics([NewTopic(f"{kafka.topic_prefix}evnets", 1, 1)]).values()
    future.result()
    stray = f"{kafka.topic_prefix}evnets"
    drifting(kafka, {(events, "config"), (products, "config"), (stray, "unknown")})
    told = run_command(settings_without_services(kafka), "topics", "check", "--fix", status=1)
    assert f"{products}: cleanup.policy=delete, now cleanup.policy=compact" in told.out
    assert "would be deleted at once" in told.out
    drifting(kafka, {(events, "config"), (stray, "unknown")})
    left = json.loads(
        run_command(settings_without_services(kafka), "topics", "check", "--fix", "--json", status=1).out
    )
    assert left["fixed"] == []
    configure(kafka, events, "retention.ms", str(EVENTS.retention_ms))
    [future] = client.delete_topics([stray]).values()
    future.result()
    drifting(kafka, set())
    assert (
        "as schemas/topics.py lists them"
        in run_command(settings_without_services(kafka), "topics", "check").out
    )


def findings(result: CommandOutput) -> dict[str, Any]:
    report = json.loads(result.out)
    return {each["check"]: each for each in report["findings"]} | {"seconds": report["seconds"]}


def away() -> dict[str, str]:
    return settings_without_services(ServiceSettings(kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}"))


def test_without_a_broker_all_else_is_told_within_ten_seconds() -> None:
    found = findings(run_command(away(), "doctor", "--json", status=1))
    assert found.pop("seconds") < 10.5
    assert found["broker"]["state"] == "bad"
    assert "EDDY_KAFKA_BOOTSTRAP" in found["broker"]["what_to_do"]
    assert found["versions"]["state"] in {"ok", "warn"}
    assert found["disk"]["found"]
    assert found["ingest"]["state"] == "bad"
    assert found["index"]["found"] == "not looked at: no broker answers"
    assert all(each.get("what_to_do") for each in found.values() if each["state"] != "ok")
    for command in (["lag"], ["topics", "check"]):
        assert "no Kafka broker answers" in run_command(away(), *command, status=2).err


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


def test_dead_letters_that_are_handled_are_no_longer_open(kafka: ServiceSettings) -> None:
    name, now = kafka.topic(EVENTS_DLQ), int(time.time() * 1000)
    put(kafka, name, (b"old", now - 3 * 86_400_000), (b"one", now), (b"two", now))
    handled = deadletters.LetterId(EVENTS_DLQ.name, 0, 1)
    key, headers = deadletters.mark(handled, "dropped", at=now, attempts=1)
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    producer.produce(name, None, key, partition=0, headers=[*headers])
    assert producer.flush(10) == 0
    report = json.loads(run_command(settings_without_services(kafka), "doctor", "--json", status=1).out)
    letters = [each for each in report["findings"] if each["check"].startswith("dead letters")]
    assert [each["found"].split()[0] for each in letters] == ["1", "0"]
    assert [each["state"] for each in letters] == ["warn", "ok"]


def test_what_is_wrong_with_one_part_is_told_at_that_part(shop: Shop, tmp_path: Path) -> None:
    kafka = shop.settings
    put(kafka, kafka.topic(EVENTS), (b"{}", int(time.time() * 1000) + 600_000))
    with run_service("recommender", kafka, tmp_path / "log") as recommender:
        environment = settings_without_services(kafka, EDDY_RECOMMENDER_URL=recommender.url)
        found = findings(run_command(environment, "doctor", "--json", status=1))
        assert found["recommender"]["state"] == "ok"
        assert found["index"]["state"] == "ok"
        assert "60 of 60 products" in found["index"]["found"]
        assert found["model"]["state"] == "warn"
        assert found["group embedder"]["state"] == "bad"
        assert found["clock"]["state"] == "bad"
        assert "ahead of this machine" in found["clock"]["found"]
        wider = environment | {"EDDY_TEXT_WIDTH": "768"}
        assert (
            "EDDY_TEXT_WIDTH"
            in findings(run_command(wider, "doctor", "--json", status=1))["vectors"]["found"]
        )
        # A process that hangs: its port takes connections, and nothing answers.
        os.kill(recommender.process.pid, signal.SIGSTOP)
        try:
            found = findings(run_command(environment, "doctor", "--json", status=1))
        finally:
            os.kill(recommender.process.pid, signal.SIGCONT)
        assert found.pop("seconds") < 10.5
        assert "timed out" in found["recommender"]["found"]
        assert found["erasures"]["state"] == "ok"


def test_events_and_slots_that_match_no_product_are_counted_and_named(shop: Shop, tmp_path: Path) -> None:
    kafka, now = shop.settings, int(time.time() * 1000)
    for number, product_id in enumerate(["SKU-1", "SKU-2", "SKU-1", "p1"]):
        event = Event(
            event_id=f"{number:026}",
            type="view_item",
            visitor_id="key",
            occurred_at=now,
            product_id=product_id,
        )
        put(kafka, kafka.topic(EVENTS), (events.encode(event), now))

    async def ask(to: RunningService) -> None:
        about = [{"name": each, "kind": "similar", "product_id": each} for each in ("SKU-1", "p1")]
        async with shop.live(to, "key", *about) as live:
            rows = {message["slot"]: message for message in (await live.next(), await live.next())}
            assert rows["SKU-1"]["fallback"] == "unknown_product"

    with run_service("recommender", kafka, tmp_path / "log") as recommender:
        environment = settings_without_services(kafka, EDDY_RECOMMENDER_URL=recommender.url)
        asyncio.run(ask(recommender))

        @patiently(15)
        def both_are_named() -> None:
            result = run_command(environment, "doctor", "--json", status=1)
            checks = [each["check"] for each in json.loads(result.out)["findings"]]
            assert len(checks) == len(set(checks))
            found = findings(result)
            assert found["products of events"]["state"] == "bad"
            assert (
                "3 of 4 events of the last day (75.0%) name unknown products: SKU-1 (2×), SKU-2 (1×)"
                in (found["products of events"]["found"])
            )
            assert "ids of events and catalogue differ?" in found["products of events"]["what_to_do"]
            assert "1 of 2 rows about a product" in found["products of slots"]["found"]
            assert "SKU-1 (1×)" in found["products of slots"]["found"]

        both_are_named()
    found = findings(run_command(environment, "doctor", "--json", status=1))
    assert found["products of events"]["found"].startswith("not looked at: ")
