"""Nothing older behind something newer: with several ingest processes, after restarts and compaction."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from schemas import identities, products
from schemas.identities import Identity
from schemas.times import DELETED_AT
from schemas.topics import ERASURES, IDENTITIES, PRODUCTS, Topic
from services.clock import now_ms
from services.kafka.admin import KafkaAdmin
from services.settings import ServiceSettings
from tests.support.kafka import TopicWriter, read_topic
from tests.support.launcher import start_module
from tests.support.patience import patiently
from tests.support.services import ADMIN_KEY, KEY, RunningService, run_service

Json = dict[str, Any]
DAY = 24 * 3600 * 1000
BACK_END = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def ingest(kafka: ServiceSettings, tmp_path: Path) -> Iterator[RunningService]:
    with run_service("ingest", kafka, tmp_path / "log", environment={"EDDY_ADMIN_KEY": ADMIN_KEY}) as service:
        yield service


def boot(product_id: str, updated_at: float, price: float = 89.5) -> Json:
    return {
        "product_id": product_id,
        "name": "Boot",
        "price": price,
        "currency": "EUR",
        "availability": "in_stock",
        "updated_at": int(updated_at),
    }


def put(to: RunningService, *sent: Json) -> Json:
    answer = to.http.put("/v1/products", json={"products": sent}, headers=BACK_END)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def identify(to: RunningService, visitor: str, user: str, at: float) -> Json:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))
    message = {"anonymousId": visitor, "userId": user, "timestamp": when}
    answer = to.http.post("/v1/identify", json=message, headers=BACK_END)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def last(settings: ServiceSettings, topic: Topic, key: str) -> bytes | None:
    """What compaction would keep of a key."""
    return [each.value() for each in read_topic(settings, topic) if each.key() == key.encode()][-1]


def price_of(settings: ServiceSettings, product_id: str) -> float | None:
    raw = last(settings, PRODUCTS, product_id)
    return None if raw is None else products.decode(raw).price


def test_what_is_older_than_what_is_there_is_ignored_and_told_also_by_the_next_process(
    kafka: ServiceSettings, ingest: RunningService, tmp_path: Path
) -> None:
    now = now_ms()
    assert put(ingest, boot("p1", now, 2.0), boot("gone", now - DAY)) == {"accepted": 2, "rejected": []}
    assert ingest.http.delete("/v1/products/gone", headers=BACK_END).json() == {"accepted": 1, "rejected": []}
    identify(ingest, "v1", "new", now)
    with run_service("ingest", kafka, tmp_path / "log2") as restarted:
        for service in (ingest, restarted):
            answer = put(service, boot("bad", now, -1), boot("p1", now - 1, 1.0), boot("gone", now - DAY))
            assert answer["accepted"] == 0
            assert [each["index"] for each in answer["rejected"]] == [0]
            assert [each["index"] for each in answer["ignored"]] == [1, 2]
            assert answer["ignored"][0]["reason"].startswith("older than what is there, which is of 20")
            assert put(service, boot("p1", now, 2.0)) == {"accepted": 1, "rejected": []}  # said again
            told = identify(service, "v1", "old", now - DAY)
            assert [each["index"] for each in told["outdated"]] == [0]
            assert "outdated" not in identify(service, "v1", "new", now - DAY)
        assert price_of(kafka, "p1") == 2.0
        assert last(kafka, PRODUCTS, "gone") is None
        assert identities.decode(last(kafka, IDENTITIES, "v1") or b"").user_id == "new"
        assert put(restarted, boot("gone", now_ms() + 1000, 3.0))["accepted"] == 1
        assert price_of(kafka, "gone") == 3.0


def test_of_one_batch_the_newest_counts_whatever_its_place(
    kafka: ServiceSettings, ingest: RunningService
) -> None:
    now = now_ms()
    answer = put(
        ingest, boot("p1", now, 2.0), boot("p1", now - 1, 1.0), boot("p2", now), boot("p1", now, 3.0)
    )
    assert answer["accepted"] == 2
    assert answer["ignored"] == [
        {"index": 0, "reason": "older than another entry of this batch"},
        {"index": 1, "reason": "older than another entry of this batch"},
    ]
    assert price_of(kafka, "p1") == 3.0


def test_a_time_of_2099_holds_nothing_up(kafka: ServiceSettings, ingest: RunningService) -> None:
    """By HTTP, and by a producer beside ingest."""
    put(ingest, boot("p1", 4_070_908_800_000, 1.0))
    writer = TopicWriter(kafka)
    writer.raw(PRODUCTS, "p2", json.dumps(boot("p2", 4_070_908_800_000, 1.0)).encode(), int(now_ms()))
    writer.flush()
    for product_id in ("p1", "p2"):
        assert put(ingest, boot(product_id, now_ms() + 1, 2.0))["accepted"] == 1
        assert price_of(kafka, product_id) == 2.0


def test_a_deletion_has_the_time_that_it_is_told_with(kafka: ServiceSettings, ingest: RunningService) -> None:
    now = int(now_ms())
    put(ingest, boot("p1", now))

    def delete(at: int) -> Json:
        return dict(ingest.http.delete("/v1/products/p1", params={"deleted_at": at}, headers=BACK_END).json())

    assert delete(now - 1)["ignored"][0]["index"] == 0
    assert "looks like seconds" in delete(now // 1000)["detail"]
    assert last(kafka, PRODUCTS, "p1") is not None
    assert delete(now + 1) == {"accepted": 1, "rejected": []}
    assert put(ingest, boot("p1", now))["accepted"] == 0
    assert put(ingest, boot("p1", now + 2))["accepted"] == 1


def test_what_another_producer_wrote_behind_something_newer_is_mended(
    kafka: ServiceSettings, ingest: RunningService, tmp_path: Path
) -> None:
    """As two ingest processes would that write one key at once; also what lay there at the start."""
    now = int(now_ms())
    writer = TopicWriter(kafka)

    def lay_older_ones(name: str) -> None:
        put(ingest, boot(f"p{name}", now, 2.0), boot(f"gone{name}", now - 2, 2.0))
        ingest.http.delete(f"/v1/products/gone{name}", headers=BACK_END).raise_for_status()
        identify(ingest, f"v{name}", "new", now)
        for product_id in (f"p{name}", f"gone{name}"):
            writer.raw(PRODUCTS, product_id, json.dumps(boot(product_id, now - 1, 1.0)).encode(), now)
        older = Identity(visitor_id=f"v{name}", user_id="old", occurred_at=now - DAY)
        writer.raw(IDENTITIES, f"v{name}", identities.encode(older), now)
        writer.flush()

    @patiently(20)
    def check_mended(name: str) -> None:
        assert price_of(kafka, f"p{name}") == 2.0
        assert last(kafka, PRODUCTS, f"gone{name}") is None
        assert identities.decode(last(kafka, IDENTITIES, f"v{name}") or b"").user_id == "new"

    lay_older_ones("1")
    check_mended("1")
    assert put(ingest, boot("gone1", now - 1))["accepted"] == 0  # the tombstone's time is still known
    ingest.kill()
    writer.raw(PRODUCTS, "p2", json.dumps(boot("p2", now, 2.0)).encode(), now)
    writer.raw(PRODUCTS, "p2", json.dumps(boot("p2", now - 1, 1.0)).encode(), now)
    writer.flush()
    with run_service("ingest", kafka, tmp_path / "log2"):

        @patiently(20)
        def check_mended_at_the_start() -> None:
            assert price_of(kafka, "p2") == 2.0

        check_mended_at_the_start()


def test_an_erased_visitor_is_not_joined_again_by_what_was_said_before(
    kafka: ServiceSettings, ingest: RunningService, tmp_path: Path
) -> None:
    now = now_ms()
    identify(ingest, "v1", "u1", now - 60_000)
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    ahead = int(now) + 60_000  # by a machine whose clock is ahead
    writer = TopicWriter(kafka)
    writer.erasure("v1", ahead)
    writer.flush()
    ingest.http.delete("/v1/visitors/v1", headers=admin).raise_for_status()
    assert json.loads(last(kafka, ERASURES, "v1") or b"")["erased_at"] == ahead
    with run_service("ingest", kafka, tmp_path / "log2") as restarted:
        for service in (ingest, restarted):
            identify(service, "v1", "u1", now - 60_000)
            assert last(kafka, IDENTITIES, "v1") is None


def test_a_restored_older_file_says_that_it_is_older(
    kafka: ServiceSettings, ingest: RunningService, tmp_path: Path
) -> None:
    now = int(now_ms())
    put(ingest, boot("p1", now, 2.0), boot("p2", now, 2.0))
    feed = tmp_path / "restored.jsonl"
    lines = [boot("p1", now - DAY, 1.0), boot("p2", now - DAY, 1.0), boot("p3", now - DAY, 1.0)]
    feed.write_text("".join(json.dumps(each) + "\n" for each in lines))
    variables = os.environ | {"EDDY_INGEST_URL": ingest.url, "EDDY_API_KEY": KEY}
    command = ("catalogue", "load", str(feed), "--state", str(tmp_path / "state"))
    process = start_module("services.ops", *command, environment=variables)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "1 products accepted, 0 rejected, 2 ignored: older than what is there" in output
    assert "p1: older than what is there, which is of 20" in output
    assert price_of(kafka, "p1") == 2.0


def test_a_deletion_outlives_compaction(
    kafka: ServiceSettings, ingest: RunningService, tmp_path: Path
) -> None:
    now = int(now_ms())
    admin, topic = KafkaAdmin(kafka), kafka.topic(PRODUCTS)
    for key, value in {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.001"}.items():
        admin.set_config(topic, key, value)
    hasten_the_cleaner(kafka)
    put(ingest, boot("gone", now - 5))
    ingest.http.delete("/v1/products/gone", headers=BACK_END).raise_for_status()

    @patiently(60, 0.3)
    def check_compacted() -> None:
        put(ingest, *(boot(f"other{number}", now) for number in range(20)))  # else its segment stays open
        lying = [each for each in read_topic(kafka, PRODUCTS) if each.key() == b"gone"]
        assert [each.value() for each in lying] == [None]
        assert dict(lying[0].headers() or [])[DELETED_AT]

    check_compacted()
    with run_service("ingest", kafka, tmp_path / "log2") as restarted:
        assert put(restarted, boot("gone", now - 5))["accepted"] == 0


def hasten_the_cleaner(settings: ServiceSettings) -> None:
    """It looks every 15 s otherwise. Looking more often does no other test any harm."""
    entry = ConfigEntry("log.cleaner.backoff.ms", "200", incremental_operation=AlterConfigOpType.SET)
    brokers = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for done in client.incremental_alter_configs([brokers]).values():
        done.result(10)
