"""The trainer's history on a real broker: ranges of time, erasures, bad messages, live and empty topics."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from infra.stack.broker import Broker
from schemas import impressions
from schemas.events import encode
from schemas.impressions import Shown, ShownItem
from schemas.topics import ERASURES, EVENTS, RECOMMENDATIONS
from services.kafka.admin import create
from services.kafka.clients import TopicMissing
from services.kafka.ranges import BrokerAway, RangeReader, open_reader
from services.model.session import TYPE_WEIGHTS
from services.progress import Silent
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.trainer import topic_history
from services.trainer.sessions import sessionise
from services.trainer.topic_history import NothingToRead, TopicHistory
from tests.support.kafka import HOUR, NOON, TopicWriter, wait_for_broker
from tests.support.machine import free_ports

ALL = TimeRange()


@pytest.fixture
def filling(kafka: ServiceSettings) -> TopicWriter:
    """For the test's own topics."""
    return TopicWriter(kafka)


def read(settings: ServiceSettings, times: TimeRange = ALL) -> TopicHistory:
    return topic_history.read(settings, times, TYPE_WEIGHTS, Silent())


def products(found: TopicHistory) -> set[str]:
    return set(sessionise(found.events).products)


def test_all_partitions_are_read_whole_and_once(kafka: ServiceSettings, filling: TopicWriter) -> None:
    for number in range(3_000):
        filling.event(f"p{number % 7}", visitor=f"v{number % 50}", at=NOON + number)
    filling.flush()
    found = read(kafka)
    assert found.tally.messages == 3_000
    assert (found.tally.bad, found.tally.erased, found.tally.unreadable_erasures) == (0, 0, 0)
    histories = sessionise(found.events)
    assert (histories.sessions, len(histories.items), len(histories.products)) == (50, 3_000, 7)


def test_one_reader_reads_the_same_messages_again(kafka: ServiceSettings, filling: TopicWriter) -> None:
    for number in range(40):
        filling.event(visitor=f"v{number}")
    filling.flush()
    with open_reader(kafka) as reader:
        spans = reader.spans(EVENTS)
        counts = [sum(map(len, reader.read(spans))) for _ in range(3)]
    assert counts == [40, 40, 40]


def test_a_range_has_its_beginning_and_not_its_end(kafka: ServiceSettings, filling: TopicWriter) -> None:
    for visitor in ("v", "w", "x", "y"):  # on several partitions
        for hours in range(6):
            filling.event(f"p{hours}", visitor=visitor, at=NOON + hours * HOUR)
    filling.flush()
    for since, until, expected in [
        (None, None, "012345"),
        (NOON + HOUR, None, "12345"),
        (NOON + HOUR + 1, None, "2345"),
        (None, NOON + 2 * HOUR, "01"),
        (NOON + HOUR, NOON + 4 * HOUR, "123"),
        (NOON - HOUR, NOON + 100 * HOUR, "012345"),
        (NOON + 5 * HOUR, NOON + 5 * HOUR + 1, "5"),
    ]:
        found = read(kafka, TimeRange(since, until))
        assert products(found) == {f"p{each}" for each in expected}
        assert found.tally.messages == 4 * len(expected)


@pytest.mark.parametrize(
    ("since", "until"),
    [(NOON + HOUR, None), (None, NOON), (NOON + 1, NOON + 2), (NOON - 2 * HOUR, NOON - HOUR)],
    ids=["later", "earlier", "a moment between", "an hour long before"],
)
def test_a_range_without_events_is_told(
    kafka: ServiceSettings, filling: TopicWriter, since: int | None, until: int | None
) -> None:
    filling.event()
    filling.flush()
    with pytest.raises(NothingToRead, match="holds 1 events, but none that came in the range"):
        read(kafka, TimeRange(since, until))


def test_an_empty_topic_is_told(kafka: ServiceSettings) -> None:
    with pytest.raises(NothingToRead, match="events holds no events"):
        read(kafka)


def test_what_retention_has_deleted_is_passed_over(kafka: ServiceSettings, filling: TopicWriter) -> None:
    for number in range(10):
        filling.event(f"p{number}")
    filling.flush()
    name = kafka.topic(EVENTS)
    with open_reader(kafka) as reader:
        before = reader.spans(EVENTS)
        [partition] = [span.partition for span in before if len(span)]
        admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
        for gone in admin.delete_records([TopicPartition(name, partition, 4)]).values():
            gone.result()
        # Also for who has looked before.
        assert sum(len(batch) for batch in reader.read(before)) == 6
    assert products(read(kafka)) == {f"p{number}" for number in range(4, 10)}


def test_reading_ends_on_a_topic_that_goes_on(kafka: ServiceSettings, filling: TopicWriter) -> None:
    for number in range(500):
        filling.event(visitor=f"v{number}")
    filling.flush()
    stop = threading.Event()

    def go_on() -> None:
        live = TopicWriter(kafka)
        while not stop.is_set():
            for number in range(100):
                live.event("live", visitor=f"live{number}")
            live.flush()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        with open_reader(kafka) as reader:
            spans = reader.spans(EVENTS)
            count = sum(len(batch) for batch in reader.read(spans))
    finally:
        stop.set()
        thread.join()
    assert count == sum(len(span) for span in spans)


def test_what_is_no_event_is_counted_and_left_out(kafka: ServiceSettings, filling: TopicWriter) -> None:
    filling.event("good")
    bad = [
        None,
        b"",
        b"rubbish \xff",
        b"[]",
        b"{}",
        encode(filling.event("other")).replace(b"view_item", b"x"),
    ]
    for value in bad:
        filling.raw(EVENTS, "v", value)
    filling.raw(EVENTS, "somebody else", encode(filling.event("stolen", visitor="v")))
    filling.flush()
    found = read(kafka)
    assert found.tally.bad == len(bad) + 1
    assert found.tally.messages == len(bad) + 1 + 3


def test_types_that_do_not_count_are_left_out(kafka: ServiceSettings, filling: TopicWriter) -> None:
    filling.event("viewed")
    filling.event("listed", type_="view_item_list")
    filling.event(None, type_="search")
    filling.event(type_="purchase", items=["bought", "too"])
    filling.flush()
    found = read(kafka)
    assert products(found) == {"viewed", "bought", "too"}
    assert (found.tally.messages, found.tally.bad) == (4, 0)


def test_what_an_erased_visitor_did_up_to_then_is_left_out(
    kafka: ServiceSettings, filling: TopicWriter
) -> None:
    for visitor in ("erased", "other"):
        filling.event(f"{visitor} before", visitor=visitor, at=NOON - 1)
        filling.event(f"{visitor} at", visitor=visitor, at=NOON)
        filling.event(f"{visitor} after", visitor=visitor, at=NOON + 1)
    filling.erasure("erased", NOON)
    filling.flush()
    found = read(kafka)
    assert products(found) == {"erased after", "other before", "other at", "other after"}
    assert found.tally.erased == 2


def test_no_clock_saves_an_event_from_erasure(kafka: ServiceSettings, filling: TopicWriter) -> None:
    filling.event("late", at=NOON + HOUR, occurred_at=NOON - 1)  # sent after the erasure, happened before
    filling.event("ahead", at=NOON - 1, occurred_at=NOON + 1)  # a browser clock that runs ahead
    filling.event("loaded", at=NOON + HOUR, occurred_at=NOON + 1, received_at=NOON)
    filling.event("new", at=NOON + HOUR, occurred_at=NOON + 1, received_at=NOON + 2)
    filling.erasure("v", NOON)
    filling.flush()
    assert products(read(kafka)) == {"new"}


def test_the_greatest_erasure_counts_unless_it_was_taken_back(
    kafka: ServiceSettings, filling: TopicWriter
) -> None:
    for visitor in ("twice", "taken back", "unreadable"):
        name = visitor.replace(" ", "-")
        filling.event(f"{visitor} 1", visitor=name, at=NOON + 1)
        filling.event(f"{visitor} 3", visitor=name, at=NOON + 3)
    filling.erasure("twice", NOON + 2)
    filling.erasure("twice", NOON)
    filling.erasure("taken-back", NOON + 2)
    filling.raw(ERASURES, "taken-back", None)
    filling.raw(ERASURES, "unreadable", b"rubbish", NOON + 2)
    filling.flush()
    found = read(kafka)
    assert products(found) == {"twice 3", "taken back 1", "taken back 3", "unreadable 3"}
    assert found.tally.unreadable_erasures == 1


def test_rows_are_read_beside_events_those_that_were_seen(
    kafka: ServiceSettings, filling: TopicWriter
) -> None:
    for number, visitor in enumerate(["v", "v", "v", "erased"]):
        shown = Shown(
            recommendation_id=f"row {number}", visitor_id=visitor, slot="for_you", kind="for_you",
            shown_at=NOON + number,
            items=tuple(ShownItem(product_id=each, score=1, source="content") for each in "abc"),
        )  # fmt: skip
        filling.raw(RECOMMENDATIONS, visitor, impressions.encode(shown), NOON)
        if number != 1:  # which nobody saw
            filling.event(None, visitor=visitor, type_="view_item_list", row=f"row {number}")
    filling.event("b", type_="select_item", row="row 2")
    filling.event("b", type_="select_item", row="row 1")
    filling.raw(RECOMMENDATIONS, "v", b"no row")
    filling.erasure("erased", NOON + HOUR)
    filling.event("c", at=NOON + 2 * HOUR)
    filling.flush()
    found = topic_history.read(kafka, ALL, TYPE_WEIGHTS, Silent(), rows_most=10)
    assert [(row.shown.recommendation_id, row.clicked) for row in found.rows] == [
        ("row 0", frozenset()),
        ("row 2", {"b"}),
    ]
    assert (found.tally.rows, found.tally.rows_seen) == (5, 2)
    newest = topic_history.read(kafka, ALL, TYPE_WEIGHTS, Silent(), rows_most=1)
    assert [row.shown.recommendation_id for row in newest.rows] == ["row 2"]
    assert read(kafka).rows == []


def test_a_missing_topic_is_told(kafka: ServiceSettings) -> None:
    elsewhere = kafka.model_copy(update={"topic_prefix": "nowhere."})
    with pytest.raises(TopicMissing, match="topics create"):
        read(elsewhere)


@pytest.fixture
def own_broker(tmp_path: Path, broker: Broker) -> Iterator[tuple[ServiceSettings, "subprocess.Popen[bytes]"]]:
    """A broker that may be killed; `broker` says whether one can run here."""
    assert broker
    mine = Broker(tmp_path / "kafka", *free_ports(2))
    mine.prepare()
    process = subprocess.Popen(mine.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_broker(mine.bootstrap)
        settings = ServiceSettings(kafka_bootstrap=mine.bootstrap)
        create(settings)
        yield settings, process
    finally:
        process.kill()
        process.wait()


def test_a_broker_that_goes_away_is_told(
    own_broker: tuple[ServiceSettings, "subprocess.Popen[bytes]"],
) -> None:
    settings, process = own_broker
    filling = TopicWriter(settings)
    filling.event()
    filling.flush()
    reader = RangeReader(settings, stall_s=0.5)
    spans = reader.spans(EVENTS)
    process.kill()
    process.wait()
    with pytest.raises(BrokerAway, match=f"no Kafka broker answers at {settings.kafka_bootstrap}"):
        list(reader.read(spans))
    reader.close()
