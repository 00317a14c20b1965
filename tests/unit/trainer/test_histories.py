"""Histories are a function of the set of events: order and repetition change nothing."""

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas import events
from schemas.events import Event, Item
from schemas.sessions import KIND_OF, SESSION_GAP_MS, identity
from services.archive import history_events as past_events
from services.archive.history_events import HistoryEvent, Line
from services.kafka.messages import EVENT
from services.model.session import TYPE_WEIGHTS
from services.ops.experiments import attribution
from services.trainer.sessions import Histories, newest, sessionise
from services.trainer.skipgram import SkipGram
from services.trainer.topic_history import GrowingColumns
from tests.support.examples import examples

MINUTE = 60_000


def event(
    number: int,
    at: int,
    product: str | None = "p1",
    *,
    visitor: str = "v",
    type_: str = "view_item",
    items: Sequence[str] = (),
) -> HistoryEvent:
    return HistoryEvent(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,  # type: ignore[arg-type]
        visitor_id=visitor,
        occurred_at=at,
        product_id=product,
        items=tuple(map(Line, items)),
    )


def histories(found: Sequence[HistoryEvent], gap_ms: int = SESSION_GAP_MS) -> Histories:
    columns = GrowingColumns(TYPE_WEIGHTS)
    columns.extend(found)
    return sessionise(columns.columns(), gap_ms)


Plain = list[list[tuple[int, str, int]]]  # sessions of (time, product, type)


def plain(found: Histories) -> Plain:
    rows = [
        (int(time), found.products[item], int(kind))
        for time, item, kind in zip(found.times, found.items, found.types, strict=True)
    ]
    return [rows[begin:end] for begin, end in zip(found.starts[:-1], found.starts[1:], strict=True)]


def reckon(found: Sequence[HistoryEvent]) -> Plain:
    """The same, one event after the other."""
    entries: dict[tuple[str, bytes, str], tuple[int, int]] = {}
    for each in found:
        if each.type in TYPE_WEIGHTS:
            for product in each.products():
                key = (each.visitor_id, identity(each.event_id), product)
                entry = (each.occurred_at, KIND_OF[each.type])
                entries[key] = max(entry, entries.get(key, entry))
    rows = sorted((v, at, i, p, kind) for (v, i, p), (at, kind) in entries.items())
    sessions: list[tuple[int, str, list[tuple[int, str, int]]]] = []
    for visitor, at, _, product, kind in rows:
        if sessions and sessions[-1][1] == visitor and at - sessions[-1][0] <= SESSION_GAP_MS:
            so_far = sessions.pop()[2]
        else:
            so_far = []
        sessions.append((at, visitor, [*so_far, (at, product, kind)]))
    return [_without_clicks(rows) for _, _, rows in sorted(sessions, key=lambda session: session[:2])]


def _without_clicks(rows: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """Without each click that something newer of its product follows."""
    return [
        (at, product, kind)
        for place, (at, product, kind) in enumerate(rows)
        if kind != KIND_OF["select_item"] or product not in {later for _, later, _ in rows[place + 1 :]}
    ]


a_product = st.integers(0, 9).map(lambda number: f"p{number}")
an_event = st.builds(
    event,
    st.integers(0, 40),
    st.integers(0, 8).map(lambda tens: tens * 10 * MINUTE),
    st.none() | a_product,
    visitor=st.sampled_from(["v", "w", "a"]),
    type_=st.sampled_from([*TYPE_WEIGHTS, "search", "view_item_list"]),
    items=st.lists(a_product, max_size=3),
)


@given(st.lists(an_event, max_size=60))
@examples(200)
def test_they_are_what_plain_python_finds(found: list[HistoryEvent]) -> None:
    assert plain(histories(found)) == reckon(found)


@given(st.lists(an_event, max_size=60), st.randoms(use_true_random=False))
@examples(200)
def test_order_and_repetition_change_no_number(found: list[HistoryEvent], chance: random.Random) -> None:
    again = found + (chance.choices(found, k=10) if found else [])
    chance.shuffle(again)
    first, second = histories(found), histories(again)
    assert first.products == second.products
    for name in ("items", "times", "types", "starts"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()


@given(st.lists(an_event, max_size=60), st.integers(1, 12), st.integers(1, 7))
def test_of_more_than_are_wanted_the_newest_sessions_stay_whole(
    found: list[HistoryEvent], most: int, at_once: int
) -> None:
    """However many are read at a time, and whatever was forgotten on the way."""
    distinct = sorted({each.event_id: each for each in found}.values(), key=lambda each: each.occurred_at)
    everything = histories(distinct, gap_ms=0)  # sessions as short as that lose nothing at their beginning
    columns = GrowingColumns(TYPE_WEIGHTS, most)
    for begin in range(0, len(distinct), at_once):
        columns.extend(distinct[begin : begin + at_once])
    kept = newest(sessionise(columns.columns(), 0), most)
    assert plain(kept) == plain(everything)[everything.sessions - kept.sessions :]
    assert len(kept.items) <= most or kept.sessions == 1
    room = most - len(kept.items)
    left = plain(everything)[: everything.sessions - kept.sessions]
    assert not left or kept.sessions == 1 or len(left[-1]) > room


def test_a_large_corpus_is_read_fewer_times() -> None:
    read = SkipGram()
    assert [read.epochs_for(events) for events in (0, 1_000, 2_000_000)] == [30, 30, 30]
    assert [read.epochs_for(events) for events in (4_000_000, 10_000_000, 200_000_000)] == [15, 6, 3]
    assert SkipGram(epochs=2).epochs_for(200_000_000) == 2


def test_the_arrays_have_the_types_they_are_said_to_have() -> None:
    for found in (histories([]), histories([event(1, 0), event(2, 1, "é 1")])):
        kinds = [found.items.dtype, found.times.dtype, found.types.dtype, found.starts.dtype]
        assert kinds == [np.dtype(each) for each in (np.int32, np.int64, np.uint8, np.int64)]


def test_no_events_are_no_sessions() -> None:
    found = histories([])
    assert (found.sessions, found.products, found.starts.tolist()) == (0, (), [0])


def test_half_an_hour_without_an_event_ends_a_session() -> None:
    at = [0, SESSION_GAP_MS, 2 * SESSION_GAP_MS + 1]
    assert histories([event(number, each) for number, each in enumerate(at)]).starts.tolist() == [0, 2, 3]


def test_sessions_come_in_the_order_of_their_ends() -> None:
    long = [event(number, number * 20 * MINUTE, "long", visitor="a") for number in range(4)]
    short = [event(10, 30 * MINUTE, "short", visitor="b")]
    found = histories([*long, *short])
    assert found.session(0) == ("short",)
    assert found.session(1) == ("long",) * 4
    assert found.ends.tolist() == [30 * MINUTE, 60 * MINUTE]


def test_a_click_counts_until_its_product_is_looked_at_within_its_session() -> None:
    done = [
        event(1, 0, "p1", type_="select_item"),
        event(2, 100, "p1"),
        event(3, MINUTE, "p2", type_="select_item"),
        event(4, 2 * MINUTE, "p1", type_="select_item"),
        event(5, 60 * MINUTE, "p2"),
        event(6, 61 * MINUTE, "p3", type_="select_item"),
        event(7, 62 * MINUTE, "p3", type_="add_to_cart"),
    ]
    found = histories(done)
    assert [found.session(number) for number in range(2)] == [("p1", "p2", "p1"), ("p2", "p3")]
    assert found.types.tolist()[0] == KIND_OF["view_item"]
    assert found.types.tolist()[-1] == KIND_OF["add_to_cart"]


@given(st.lists(an_event, max_size=60))
@examples(50)
def test_histories_without_clicks_are_what_they_were(found: list[HistoryEvent]) -> None:
    others = [each for each in found if each.type != "select_item"]
    columns = GrowingColumns(TYPE_WEIGHTS)
    columns.extend(others)
    as_before = sessionise(columns.columns(), clicks_give_way=False)
    now = histories(others)
    assert (now.products, plain(now)) == (as_before.products, plain(as_before))


def test_a_purchase_is_an_event_for_each_of_its_products() -> None:
    found = histories([event(1, 0, None, type_="purchase", items=["p2", "p1", "p2"])])
    assert found.session(0) == ("p1", "p2")
    assert found.types.tolist() == [KIND_OF["purchase"]] * 2


def test_ids_that_differ_only_in_zeros_at_the_end_are_two() -> None:
    ids = ("00000000-0000-4000-8000-00000000ab00", "00000000-0000-4000-8000-000000000000")
    found = [HistoryEvent(event_id=each, type="view_item", visitor_id="v", occurred_at=0, product_id="p")
             for each in (*ids, *ids)]  # fmt: skip
    assert len(histories(found).items) == 2


def test_a_part_has_only_its_own_products() -> None:
    found = histories([event(number, number * 40 * MINUTE, f"p{number}") for number in range(5)])
    part = found.part(1, 3)
    assert part.products == ("p1", "p2")
    assert plain(part) == plain(found)[1:3]
    assert found.part(2, 2).sessions == 0


def test_what_is_read_of_an_event_is_what_the_schema_says() -> None:
    whole = Event(
        event_id="01JD3Y7F2C9XA6M0D8J4QVHS3B",
        type="purchase",
        visitor_id="v",
        occurred_at=5,
        received_at=6,
        items=(Item("p2", quantity=3), Item("p1"), Item("p2")),
        value=3.0,
    )
    read = past_events.decode(events.encode(whole))
    assert read.products() == whole.products()
    assert (read.event_id, read.occurred_at, read.received_at) == (whole.event_id, 5, 6)


@given(st.integers(0, 4_102_444_800_000), st.integers(-1, 4_102_444_800_000))
def test_the_past_has_an_event_s_time_as_the_live_session_had_it(at: int, sent_at: int) -> None:
    """A clock that runs ahead is set back by the one and by the other."""
    raw = events.encode(
        Event(
            event_id="01JD3Y7F2C9XA6M0D8J4QVHS3B",
            type="view_item",
            visitor_id="v",
            occurred_at=at,
            product_id="p",
        )
    )
    live = EVENT.read(b"v", raw, sent_at)
    assert past_events.HISTORY_EVENT.read(b"v", raw, sent_at).occurred_at == live.occurred_at
    assert attribution.EVENT.read(b"v", raw, sent_at).occurred_at == live.occurred_at
    assert live.occurred_at == at or live.occurred_at == sent_at < at
