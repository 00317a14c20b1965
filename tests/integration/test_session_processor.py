"""The session processor as a real Faust worker on a real broker: [events] → [sessions], byte for byte."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from infra.stack.broker import Broker
from schemas import deadletters, events, sessions
from schemas.topics import EVENTS, SESSIONS
from services.kafka.admin import create
from services.settings import ServiceSettings
from tests.support.kafka import create_topics, read_topic
from tests.support.patience import wait_until
from tests.support.services import RunningService, run_service
from tests.support.session_topics import LAYOUT, SessionTopics, newest_in_table, view

PRODUCTS = 40


@pytest.fixture(scope="module")
def topics(broker: Broker) -> SessionTopics:
    settings = create_topics(broker)
    topics = SessionTopics(settings)
    for number in range(PRODUCTS):
        topics.put_product(number)
    return topics


@pytest.fixture(scope="module")
def worker(topics: SessionTopics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(
        "session_processor", topics.settings, tmp_path_factory.mktemp("worker") / "log"
    ) as service:
        yield service


def test_the_session_on_the_topic_is_what_fold_makes_offline(
    worker: RunningService, topics: SessionTopics, visitor: str
) -> None:
    sent = [view(visitor, number, number % 7) for number in range(20)]
    topics.send_events(*sent)

    def check_published() -> None:
        assert topics.read_published(visitor)[-1].value() == topics.offline(sent)

    wait_until(check_published)
    headers = dict(cast("list[tuple[str, bytes]]", topics.read_published(visitor)[-1].headers() or []))
    assert headers[sessions.CAUSED_BY] == sent[-1].event_id.encode()
    assert float(headers[sessions.FOLDED_AT]) > 1_700_000_000_000


def test_duplicates_and_order_change_no_byte(
    worker: RunningService, topics: SessionTopics, visitor: str
) -> None:
    sent = [view(visitor, number, number % 5) for number in range(80)]
    shuffled = [*sent, *sent[:40]]
    random.Random(1).shuffle(shuffled)
    topics.send_events(*shuffled)

    def check_published() -> None:
        assert topics.read_published(visitor)[-1].value() == topics.offline(sent)

    wait_until(check_published)
    before = topics.read_published(visitor)[-1].value()
    topics.send_events(*sent)
    end = view(visitor, 0, 1, "search")  # no signal: its taking tells that all before it was taken

    def check_taken() -> None:
        assert 'outcome="known"} ' in worker.metrics()
        assert len(topics.read_published(visitor)) >= len(shuffled) + len(sent)

    topics.send_events(end)
    wait_until(check_taken)
    assert topics.read_published(visitor)[-1].value() == before


def test_a_product_that_comes_later_joins_the_sessions_that_missed_it(
    worker: RunningService, topics: SessionTopics, visitor: str
) -> None:
    sent = [view(visitor, 1, 1), view(visitor, 2, PRODUCTS)]
    topics.send_events(*sent)

    def missing() -> None:
        newest = sessions.decode(topics.read_published(visitor)[-1].value() or b"")
        assert newest.missing_products == {f"p{PRODUCTS}"}

    wait_until(missing)
    topics.put_product(PRODUCTS)

    def check_joined() -> None:
        assert topics.read_published(visitor)[-1].value() == topics.offline(sent)

    wait_until(check_joined)
    assert sessions.decode(topics.read_published(visitor)[-1].value() or b"").missing == ()


def test_what_is_no_event_is_buried_with_a_reason_and_takes_none_with_it(
    worker: RunningService, topics: SessionTopics, visitor: str
) -> None:
    good = view(visitor, 1, 1)
    key = visitor.encode()
    foreign = events.encode(view(f"{visitor}-other", 1, 1))
    garbage = b"\xff{" + key
    topics.send(EVENTS, [(key, garbage), (key, foreign), (None, events.encode(good)), (key, None)])
    topics.send_events(good)

    def check_published() -> None:
        assert topics.read_published(visitor)[-1].value() == topics.offline([good])

    def check_buried() -> None:
        raw = {letter.value() for letter in topics.dead_letters(key)}
        assert raw == {garbage, foreign, events.encode(good)}

    wait_until(check_published)
    wait_until(check_buried)
    for letter in topics.dead_letters(key):
        headers = dict(cast("list[tuple[str, bytes]]", letter.headers() or []))
        assert headers[deadletters.SERVICE] == b"session_processor"
        assert headers[deadletters.REASON]
        assert headers[deadletters.SOURCE].startswith(topics.settings.topic(EVENTS).encode())


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_worker_that_ends_in_the_middle_leaves_nothing_out_and_nothing_twice(
    topics: SessionTopics, tmp_path: Path, how: str
) -> None:
    visitors = [f"{how}-{uuid4().hex}" for _ in range(20)]
    sent = {visitor: [view(visitor, number, number % 9) for number in range(50)] for visitor in visitors}
    expected = {visitor.encode(): topics.offline(sent[visitor]) for visitor in visitors}
    rounds = [[sent[visitor][number] for visitor in visitors] for number in range(50)]
    group = {"EDDY_SESSION_PROCESSOR_GROUP": f"group-{how}", "EDDY_SESSION_PROCESSOR_INSTANCE": how}
    for part in range(3):
        with run_service(
            "session_processor", topics.settings, tmp_path / "log", environment=group, until="/healthz"
        ) as service:
            if part < 2:
                service.wait_for("/readyz")
                for each in rounds[part * 25 : part * 25 + 10]:
                    topics.send_events(*each)

                def some_are_there(part: int = part) -> None:
                    assert len(topics.read_published(visitors[0])) > part * 25 + 3

                wait_until(some_are_there)
                (service.process.kill if how == "kill" else service.process.terminate)()
                service.process.wait(timeout=20)
                for each in rounds[part * 25 + 10 : part * 25 + 25]:  # what waits for the next worker
                    topics.send_events(*each)
                continue

            def all_are_there() -> None:
                newest = {each.key(): each.value() for each in read_topic(topics.settings, SESSIONS)}
                for visitor, session in expected.items():
                    assert newest[visitor] == session

            wait_until(all_are_there)


def test_a_worker_that_is_stopped_for_good_leaves_its_partitions_to_the_others_at_once(
    topics: SessionTopics, tmp_path: Path, visitor: str
) -> None:
    missed_after = {"EDDY_SESSION_TIMEOUT_S": "90", "EDDY_SESSION_PROCESSOR_GROUP": "leavers"}
    leaves = {"EDDY_SESSION_PROCESSOR_LEAVES": "true"}
    with run_service("session_processor", topics.settings, tmp_path / "stays", environment=missed_after):
        with run_service(
            "session_processor", topics.settings, tmp_path / "leaves", environment=missed_after | leaves
        ) as leaver:
            leaver.process.terminate()
            assert leaver.process.wait(timeout=20) == 0
        visitors = [f"{visitor}-{number}" for number in range(40)]  # on all partitions
        topics.send_events(*(view(each, 0, 1) for each in visitors))

        def check_folded() -> None:
            assert set(visitors) <= set(newest_in_table(topics.settings, "leavers"))

        wait_until(check_folded)  # for less than the group's silence


DAY_S = 24 * 60 * 60


def test_idle_visitors_leave_and_a_restarted_worker_does_not_bring_them_back(
    broker: Broker, tmp_path: Path, visitor: str
) -> None:
    topics = SessionTopics(
        ServiceSettings(kafka_bootstrap=broker.bootstrap, topic_prefix=f"t{uuid4().hex[:8]}.")
    )
    create(topics.settings)
    topics.put_product(1)
    others = [f"other-{number}-{visitor}" for number in range(40)]  # in every partition
    first, back = view(visitor, 0, 1), view(visitor, 60 * DAY_S, 1)

    def newest(visitor_id: str) -> bytes | None:
        found: bytes | None = topics.read_published(visitor_id)[-1].value()
        return found

    with run_service("session_processor", topics.settings, tmp_path / "log") as service:
        topics.send_events(first)
        wait_until(lambda: topics.read_published(visitor)[-1])
        topics.send_events(*(view(other, 40 * DAY_S, 1) for other in others))

        def check_forgotten() -> None:
            assert newest(visitor) is None
            assert "eddy_session_processor_expired_total 1.0" in service.metrics()

        wait_until(check_forgotten)
    with run_service("session_processor", topics.settings, tmp_path / "log"):
        topics.send_events(back)

        def anew() -> None:
            assert newest(visitor) == topics.offline([first, back])

        def others_are_there() -> None:  # of other partitions, which no order binds to that of the visitor
            assert all(newest(other) is not None for other in others)

        wait_until(anew)
        wait_until(others_are_there)
    assert len(sessions.decode(newest(visitor) or b"").events) == 1


def test_a_session_in_the_former_form_is_renewed_at_the_next_event(
    broker: Broker, tmp_path: Path, visitor: str
) -> None:
    """A table as an older version left it: the changelog holds ids as text and vectors as float16."""
    settings = create_topics(broker)
    topics = SessionTopics(settings)
    for number in range(3):
        topics.put_product(number)
    sent = [view(visitor, number, number) for number in range(3)]
    with run_service("session_processor", settings, tmp_path / "log"):
        pass  # the worker's first start makes the table's changelog
    [changelog] = [
        name
        for name in AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
        if name.startswith(settings.topic_prefix) and name.endswith("-changelog")
    ]
    known = [[each.occurred_at, each.event_id, each.product_id, each.type] for each in sent[:2]]
    former = msgspec.msgpack.encode([visitor, known, LAYOUT.id, b"\x00\x3c" * LAYOUT.width, [], []])
    topics.send(
        replace(EVENTS, name=changelog.removeprefix(settings.topic_prefix)), [(visitor.encode(), former)]
    )
    with run_service("session_processor", settings, tmp_path / "log"):
        topics.send_events(sent[2])

        def check_renewed() -> None:
            assert topics.read_published(visitor)[-1].value() == topics.offline(sent)

        wait_until(check_renewed)


def test_too_many_bad_messages_in_a_row_stop_the_worker_with_a_sentence(
    broker: Broker, tmp_path: Path
) -> None:
    settings = create_topics(broker)
    topics = SessionTopics(settings)
    few = {"EDDY_BAD_EVENTS_IN_A_ROW": "3"}
    with run_service("session_processor", settings, tmp_path / "log", environment=few) as service:
        topics.send(EVENTS, [(b"v", b"garbage")] * 5)
        assert service.process.wait(timeout=20) != 0
    assert "bad messages in a row" in (tmp_path / "log").read_text()
