"""A click counts at once, and gives way to what follows it: one interest, whatever comes late or twice."""

from itertools import pairwise
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventType
from schemas.sessions import SESSION_EVENTS_MAX, Session, SessionEvent, encode, identity
from services.model.session import Tuning, fold, leave_out_clicks, merge_events, signals
from tests.support.examples import examples
from tests.support.sessions import DAY, LAYOUT, MINUTE, TUNING, VECTORS, cosine, event, fold_all

BOTH_COUNT = Tuning(clicks_give_way=False)
SECOND = 1000


def click(number: int, at: int, product_id: str = "p1") -> Event:
    return event(number, at, product_id, "select_item")


def types_of(session: Session) -> list[tuple[EventType, str]]:
    return [(each.type, each.product_id) for each in session.events]


def test_a_click_moves_the_session_at_once() -> None:
    before = fold_all([event(1, 0, "p1")])
    after = fold(before, click(2, MINUTE, "p2"), VECTORS, LAYOUT, TUNING)
    assert cosine(after.vector, "p2") > cosine(before.vector, "p2")
    assert types_of(after)[-1] == ("select_item", "p2")


def test_a_click_and_the_view_that_follows_are_the_view_alone() -> None:
    before = event(1, 0, "p1")
    for later in (0, 70, 20 * SECOND, 3 * DAY):
        seen = event(3, MINUTE + later, "p2")
        with_click = fold_all([before, click(2, MINUTE, "p2"), seen])
        assert encode(with_click) == encode(fold_all([before, seen]))


def test_a_click_that_comes_after_its_view_is_no_news() -> None:
    session = fold_all([event(2, 70, "p2")])
    assert fold(session, click(1, 0, "p2"), VECTORS, LAYOUT, TUNING) is session


def test_a_click_on_what_was_looked_at_before_is_another_interest() -> None:
    session = fold_all([event(1, 0, "p1"), click(2, MINUTE, "p1")])
    assert types_of(session) == [("view_item", "p1"), ("select_item", "p1")]
    session = fold(session, event(3, MINUTE + 70, "p1"), VECTORS, LAYOUT, TUNING)
    assert types_of(session) == [("view_item", "p1"), ("view_item", "p1")]


def test_of_two_clicks_on_a_product_the_newer_counts() -> None:
    assert fold_all([click(1, 0), click(2, 300)]) == fold_all([click(2, 300)])
    assert fold_all([click(2, 300), click(1, 0)]) == fold_all([click(2, 300)])


def test_other_products_and_what_is_older_take_no_clicks_place() -> None:
    session = fold_all([event(1, 0, "p1"), click(2, MINUTE, "p1"), event(3, MINUTE + 70, "p2")])
    assert ("select_item", "p1") in types_of(session)


def test_what_follows_may_be_no_view() -> None:
    in_the_cart = event(2, SECOND, "p1", "add_to_cart")
    assert fold_all([click(1, 0), in_the_cart]) == fold_all([in_the_cart])


def test_a_double_click_at_the_edge_makes_no_room_for_what_was_forgotten() -> None:
    older = [event(number, number * SECOND, f"p{number % 20}") for number in range(70)]
    at = 71 * SECOND
    sent = [*older, click(70, at, "new"), click(71, at + 100, "new"), event(72, at + 200, "new")]
    session = fold_all(sent)
    assert len(session.events) == SESSION_EVENTS_MAX
    assert session.events[0].occurred_at == 7 * SECOND
    for each in sent:
        assert fold(session, each, VECTORS, LAYOUT, TUNING) is session


def test_a_shop_may_let_both_count() -> None:
    assert len(fold_all([click(1, 0), event(2, 70, "p1")], tuning=BOTH_COUNT).events) == 2


def test_a_shop_may_let_clicks_not_count() -> None:
    weights = {**TUNING.type_weights, "select_item": 0.0}
    assert fold_all([click(1, 0)], tuning=Tuning(weights)) == Session("v")


TYPES: tuple[EventType, ...] = (
    "select_item", "select_item", "select_item", "view_item", "view_item", "add_to_cart", "remove_from_cart",
    "purchase",
)  # fmt: skip
STEPS = (1, SECOND, MINUTE, 15 * MINUTE)  # 256 of the last: beyond visits; many fall on one moment
EVENT_BYTES = 3


def read_events(drawn: bytes) -> list[Event]:
    """Events of ids of their own; some thirty days apart."""
    found = []
    for number in range(len(drawn) // EVENT_BYTES):
        product_number, which, place = drawn[number * EVENT_BYTES :][:EVENT_BYTES]
        at = place * STEPS[which % len(STEPS)] + (33 * DAY if which > 250 else 0)
        found.append(event(number, at, f"p{product_number % 12}", TYPES[which // len(STEPS) % len(TYPES)]))
    return found


def numbers_of(most: int) -> st.SearchStrategy[list[Event]]:
    """Few of them, or about as many as `most`."""
    return (
        st.one_of(st.integers(0, 12), st.integers(most // 2, most))
        .flatmap(lambda count: st.binary(min_size=EVENT_BYTES * count, max_size=EVENT_BYTES * count))
        .map(read_events)
    )


many = numbers_of(150)
few = numbers_of(SESSION_EVENTS_MAX // 2)
seeds = st.integers(0, 1 << 32)


def shuffle(sent: list[Event], seed: int) -> list[Event]:
    """All of them, and some twice."""
    shuffled = sent + sent[:: seed % 3 + 1]
    Random(seed).shuffle(shuffled)
    return shuffled


@given(many, seeds)
@examples(200)
def test_order_and_duplicates_change_no_byte(sent: list[Event], seed: int) -> None:
    in_order = sorted(sent, key=lambda each: (each.occurred_at, identity(each.event_id)))
    expected = fold_all(in_order)
    assert encode(fold_all(shuffle(sent, seed))) == encode(expected)
    for each in sent:  # a worker that begins anew, wherever it had committed
        assert fold(expected, each, VECTORS, LAYOUT, TUNING) is expected


@given(few, st.lists(st.tuples(st.integers(0, 63), st.integers(0, 9 * MINUTE)), max_size=9), seeds)
@examples(100)
def test_a_click_may_come_twice_with_another_time(
    sent: list[Event], moved: list[tuple[int, int]], seed: int
) -> None:
    again = [msgspec.structs.replace(sent[place % len(sent)], occurred_at=at) for place, at in moved if sent]
    both = [*sent, *again]
    assert encode(fold_all(shuffle(both, seed))) == encode(fold_all(both))


@given(many)
@examples(50)
def test_what_is_remembered_is_the_newest_without_clicks_that_gave_way(sent: list[Event]) -> None:
    every = sorted(entry for each in sent for entry in signals(each, TUNING))
    counting = [
        each
        for each in every
        if each.type != "select_item"
        or not any(other.product_id == each.product_id and other > each for other in every)
    ]
    newest = counting[-SESSION_EVENTS_MAX:]
    kept = [each for each in newest if each.occurred_at >= newest[-1].occurred_at - TUNING.idle_ms]
    assert list(fold_all(sent).events) == kept
    assert list(merge_events((), every, TUNING)) == kept


@given(many, seeds)
@examples(50)
def test_parts_of_a_person_come_together_as_if_they_had_been_one(sent: list[Event], seed: int) -> None:
    """Two browsers: each has folded its own."""
    random, parts = Random(seed), tuple[list[Event], list[Event]](([], []))
    for each in sent:
        parts[random.random() < 0.5].append(each)
    first, second = (fold_all(part).events for part in parts)
    assert merge_events(first, list(second), TUNING) == fold_all(sent).events


@given(many)
@examples(50)
def test_events_without_clicks_are_folded_as_before_to_the_byte(sent: list[Event]) -> None:
    others = [each for each in sent if each.type != "select_item"]
    assert encode(fold_all(others)) == encode(fold_all(others, tuning=BOTH_COUNT))


@given(many, seeds)
@examples(50)
def test_where_a_view_follows_every_click_sessions_are_what_they_were_without_clicks(
    sent: list[Event], seed: int
) -> None:
    views = [each for each in sent if each.type != "select_item"]
    clicks = [
        click(1000 + number, each.occurred_at - 70, each.product_id or "")
        for number, each in enumerate(views)
        if each.type == "view_item" and each.occurred_at >= 70
    ]
    assert encode(fold_all(shuffle([*views, *clicks], seed))) == encode(fold_all(views))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=30))
def test_an_entry_takes_the_place_of_one_click_at_most(drawn: list[tuple[int, int]]) -> None:
    """So there are never fewer newer ones than there were, and what was forgotten stays forgotten."""
    arrived = [
        SessionEvent(at, bytes([number] * 16), f"p{number % 3}", kind)
        for number, (at, kind) in enumerate(drawn, 1)
    ]
    lengths = [len(leave_out_clicks(sorted(arrived[:end]))) for end in range(len(arrived) + 1)]
    assert all(after >= before for before, after in pairwise(lengths))
