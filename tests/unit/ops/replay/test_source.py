"""What of a topic is fed, in which order, and what it carries."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas import events
from schemas.topics import EVENTS
from services.kafka.ranges import MessageHeaders, merge_by_time
from services.ops.replay.source import Source, Tally, replay_headers, sift
from services.time_range import TimeRange
from services.visitors.erasure import Erasures
from tests.support.messages import PartitionReader, StoredMessage, open_partitions, store, view


def source(*partitions: list[StoredMessage], times: TimeRange = TimeRange(), **fields: object) -> Source:  # noqa: B008
    spans = tuple(PartitionReader(partitions).spans(EVENTS))
    given: Any = {"erasures": Erasures(), **fields}
    return Source(lambda: open_partitions(partitions), spans, times=times, **given)


def take(found: Source) -> tuple[list[str], Tally]:
    tally = Tally()
    sent = [each.event_id[-1] for _, each in sift(found.messages(in_order=False), found, tally)]
    return sent, tally


def test_what_is_no_event_or_anothers_is_counted_and_left_out() -> None:
    good = store(view("v", 1, 5))
    wrong_key = StoredMessage(b"w", events.encode(view("v", 2, 6)), at=6)
    sent, tally = take(
        source([good, wrong_key, StoredMessage(b"v", b"{}", at=7), StoredMessage(b"v", None, at=8)])
    )

    assert sent == ["1"]
    assert (tally.events, tally.bad, tally.erased, len(tally.visitors)) == (1, 3, 0, 1)


def test_what_an_erased_visitor_did_before_the_erasure_is_left_out() -> None:
    before, after = store(view("v", 1, 5)), store(view("v", 2, 11))
    ahead = store(view("v", 3, 12), at=9)  # a browser's clock that runs ahead saves nothing
    sent, tally = take(source([before, after, ahead], erasures=Erasures({"v": 10})))

    assert (sent, tally.erased) == (["2"], 2)


def test_only_the_range_and_only_the_visitor_are_fed() -> None:
    found = [store(view("v", number, number)) for number in range(1, 6)]
    other = store(view("w", 9, 3))
    sent, tally = take(source([*found, other], times=TimeRange(2, 4), visitor_id="v"))

    assert sent == ["2", "3"]
    assert (tally.since, tally.until) == (2, 3)


@given(st.lists(st.lists(st.integers(0, 50), max_size=8), min_size=1, max_size=4))
def test_over_all_partitions_messages_come_in_time_and_each_partition_keeps_its_order(
    times: list[list[int]],
) -> None:
    partitions = [
        [StoredMessage(b"v", b"", at=at, partition=part, offset=place) for place, at in enumerate(each)]
        for part, each in enumerate(times)
    ]
    merged = list(
        merge_by_time(lambda: open_partitions(partitions), PartitionReader(partitions).spans(EVENTS))
    )

    assert len(merged) == sum(map(len, times))
    for part, each in enumerate(partitions):
        assert [found for found in merged if found.partition() == part] == each
    newest, due = dict[int, int](), []
    for found in merged:
        part = found.partition() or 0
        newest[part] = max(newest.get(part, 0), found.timestamp()[1])
        due.append(newest[part])
    assert due == sorted(due)


def test_a_replayed_event_tells_where_it_lay_and_neither_when_it_was_clicked_nor_its_trace() -> None:
    headers: MessageHeaders = [
        ("accepted_at", b"1"),
        ("x", b"y"),
        ("replayed_from", b"z"),
        ("traceparent", b"00-a"),
    ]
    before = StoredMessage(b"v", b"", headers, at=1, topic="events", partition=3, offset=17)

    assert replay_headers(before) == [("x", b"y"), ("replayed_from", b"events/3/17")]
