"""`ops tenants` on a real broker: who is there, what each has, and how one goes without the others."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import NewTopic

from infra.stack.broker import Broker
from schemas.topics import EVENTS, PRODUCTS, RULES, TOPICS
from services.kafka.admin import KafkaAdmin, create
from services.settings import ServiceSettings
from tests.support.kafka import TopicWriter, delete_topics, read_topic
from tests.support.operator import CommandOutput, run_command, settings_without_services
from tests.support.patience import patiently
from tests.support.services import run_service

Row = dict[str, object]
DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture
def tenants(broker: Broker) -> Iterator[dict[str, ServiceSettings]]:
    """Three whose prefixes begin alike."""
    base = f"t{uuid4().hex[:8]}"
    found = {
        end: ServiceSettings(kafka_bootstrap=broker.bootstrap, topic_prefix=f"{base}{end}")
        for end in (".", "-", ".b.")
    }
    for each in found.values():
        create(each)
    wait_for_leaders(found["."], *(each.topic(topic) for each in found.values() for topic in TOPICS))
    yield found
    for each in found.values():
        delete_topics(each, *TOPICS)


@patiently(60)
def wait_for_leaders(of: ServiceSettings, *names: str) -> None:
    """A topic that was made just now is known a moment later, and has a leader later still."""
    known = KafkaAdmin(of).cluster().topics
    for name in names:
        assert name in known
        assert all(part.leader >= 0 for part in known[name].partitions.values())


def ops(of: ServiceSettings, *arguments: str, status: int = 0, **more: str) -> CommandOutput:
    return run_command(settings_without_services(of, **more), "tenants", *arguments, status=status)


def rows(of: ServiceSettings, *arguments: str, status: int = 0) -> dict[str, Row]:
    """By tenant, those of this test."""
    told: list[Row] = json.loads(ops(of, "--json", *arguments, status=status).out)
    base = re.split(r"[.-]", of.topic_prefix)[0]
    return {str(each["prefix"]).removeprefix(base): each for each in told if base in str(each["prefix"])}


def test_each_prefix_is_a_tenant_with_what_it_has(tenants: dict[str, ServiceSettings]) -> None:
    writer, now = TopicWriter(tenants["."]), int(time.time() * 1000)
    for ago in (3 * DAY_MS, 2 * 60 * 60 * 1000, 5_000, 0):
        writer.event(at=now - ago)
    for key, value in (("p1", b"{}"), ("p2", b"{}"), ("p1", b"{}"), ("p3", b"{}"), ("p3", None)):
        writer.raw(PRODUCTS, key, value, at=now)
    writer.flush()
    found = rows(tenants["."])
    assert set(found) == {".", "-", ".b."}
    assert {each["tenant"] for each in found.values()} == {each.tenant for each in tenants.values()}
    busy, quiet = found["."], found["-"]
    assert (busy["events_last_minute"], busy["events_last_day"]) == (2, 3)
    assert (busy["products"], busy["lag"], busy["topics"]) == (2, 4 + 5, len(TOPICS))
    assert (quiet["events_last_day"], quiet["products"], quiet["lag"], quiet["members"]) == (0, 0, 0, 0)
    assert rows(tenants["."], "--no-products")["."]["products"] is None


def test_a_tenant_without_a_topic_is_told_of(tenants: dict[str, ServiceSettings]) -> None:
    delete_topics(tenants["-"], RULES)
    found = rows(tenants["."], status=1)
    assert (found["-"]["missing"], found["."]["missing"]) == (["rules"], [])


def test_what_is_deleted_is_one_tenant_and_nothing_that_begins_alike(
    tenants: dict[str, ServiceSettings],
) -> None:
    prefix = tenants["."].topic_prefix
    admin = KafkaAdmin(tenants["."])
    own, others = f"{prefix}session-processor-sessions-changelog", f"{prefix}b.session-processor-x-changelog"
    admin.create_topics([NewTopic(own, 1, 1), NewTopic(others, 1, 1)])
    wait_for_leaders(tenants["."], own, others)
    before = {end: len(rows(each)) for end, each in tenants.items()}
    assert set(before.values()) == {3}
    told = ops(tenants["."], "delete", prefix, status=2)
    assert "say --yes" in told.err  # nobody can be asked, and nothing was done
    assert "." in rows(tenants["."])
    answer = ops(tenants["."], "delete", prefix, "--yes", "--json").json
    assert answer["tenant"] == prefix.removesuffix(".")
    assert set(answer["topics"]) == {own, *(topic.full_name(prefix) for topic in TOPICS)}

    @patiently(30)
    def is_gone() -> None:
        names = set(admin.cluster().topics)
        assert not names & set(answer["topics"])
        assert others in names
        assert all(topic.full_name(f"{prefix}b.") in names for topic in TOPICS)

    is_gone()
    assert set(rows(tenants["."])) == {"-", ".b."}
    assert "prefixes of tenants" in ops(tenants["."], "delete", prefix, "--yes", status=2).err
    admin.delete_topics([others], 20)


def test_a_tenant_whose_group_has_a_worker_is_kept(tenants: dict[str, ServiceSettings]) -> None:
    of = tenants["-"]
    group = f"{of.topic_prefix}session-processor"
    consumer = Consumer({"bootstrap.servers": of.kafka_bootstrap, "group.id": group, "client.id": "busy"})
    consumer.subscribe([of.topic(EVENTS)])

    @patiently(60)
    def has_joined() -> None:
        consumer.poll(0.2)
        assert consumer.assignment()

    has_joined()
    told = ops(of, "delete", of.topic_prefix, "--yes", status=2)
    assert f"busy reads {of.tenant}" in told.err
    assert rows(of)["-"]["members"] == 1
    consumer.close()
    answer = ops(of, "delete", of.topic_prefix, "--yes", "--json").json
    assert len(answer["topics"]) == len(TOPICS)


def test_a_tenant_that_ingest_serves_is_kept(tenants: dict[str, ServiceSettings], tmp_path: Path) -> None:
    of, other = tenants["."], tenants["-"]
    with run_service("ingest", of, tmp_path / "log") as ingest:
        told = ops(of, "delete", of.topic_prefix, "--yes", status=2, EDDY_INGEST_URL=ingest.url)
        assert f"serves {of.tenant}" in told.err
        assert read_topic(of, EVENTS) == []  # the topic is there
        ops(other, "delete", other.topic_prefix, "--yes", EDDY_INGEST_URL=ingest.url)
        assert set(rows(of)) == {".", ".b."}


def test_what_is_no_prefix_is_refused(broker: Broker) -> None:
    of = ServiceSettings(kafka_bootstrap=broker.bootstrap)
    assert "no topic prefix" in ops(of, "delete", "a b", "--yes", status=2).err
