"""Which clicks are cases: whatever came twice or late, and however visitors are interleaved."""

from collections.abc import Iterable, Sequence
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventType
from services.ops.replay.next_click import Case, CaseCollector
from tests.support.examples import examples

GAP_MS = 30 * 60_000
MINUTE_MS = 60_000


def event(
    visitor_id: str,
    number: int,
    product_id: str | None,
    type_: EventType = "view_item",
    at: int | None = None,
) -> Event:
    return Event(
        event_id=f"{crc32(visitor_id.encode()):08x}-0000-4000-8000-{number:012d}",
        type=type_,
        visitor_id=visitor_id,
        occurred_at=number * MINUTE_MS if at is None else at,
        product_id=product_id,
    )


def collect(events: Iterable[Event], most: int = 1_000) -> CaseCollector:
    collector = CaseCollector(most, GAP_MS)
    for each in events:
        collector.add(each)
    return collector


def tell(cases: Iterable[Case]) -> list[tuple[int, str]]:
    """After which minute, and what was clicked."""
    return [(case.at // MINUTE_MS, case.target) for case in cases]


def test_the_next_click_on_another_product_is_a_case() -> None:
    views = [event("v", number, product) for number, product in enumerate(["p1", "p2", "p3"])]
    [first, second] = collect(views).cases()
    assert first == Case("v", 0, views[0].event_id, MINUTE_MS, "p2")
    assert second == Case("v", MINUTE_MS, views[1].event_id, 2 * MINUTE_MS, "p3")


def test_a_product_looked_at_again_is_no_case_and_the_row_after_it_counts() -> None:
    views = [event("v", number, product) for number, product in enumerate(["p1", "p1", "p2"])]
    assert tell(collect(views).cases()) == [(1, "p2")]


def test_a_click_on_what_was_bought_later_is_a_case_of_purchases() -> None:
    events = [
        event("v", 0, "p1"),
        event("v", 1, "p2"),
        event("v", 2, "p3"),
        event("v", 3, "p2", "purchase"),
        event("v", 4, "p2", "purchase"),  # once more
        event("v", 5, "p1", "purchase"),  # no row could have shown it before
        event("w", 6, "p3", "purchase"),  # somebody else's
    ]
    assert tell(collect(events).bought()) == [(0, "p2")]
    assert len(collect([*events, event("x", 7, "p1")], most=0).bought()) == 0


def test_going_back_to_a_seen_product_is_no_case_but_counted() -> None:
    views = [event("v", number, product) for number, product in enumerate(["p1", "p2", "p1", "p3"])]
    found = collect(views)
    assert tell(found.cases()) == [(0, "p2"), (2, "p3")]
    assert found.returns == 1
    assert "1 clicks" in found.notes()[0]


def test_a_click_in_a_list_ends_the_case_and_the_view_that_follows_is_no_second_one() -> None:
    events = [
        event("v", 0, "p1"),
        event("v", 1, "p2", "select_item"),
        event("v", 2, "p2"),
        event("v", 3, "p3"),
    ]
    assert tell(collect(events).cases()) == [(0, "p2"), (2, "p3")]


def test_a_row_after_a_cart_counts_and_what_is_in_it_is_no_target() -> None:
    events = [
        event("v", 0, "p1"),
        event("v", 1, "p2", "add_to_cart"),
        event("v", 2, "p2"),
        event("v", 3, "p4"),
    ]
    # The cart is no click; the view of what is in it goes on from it.
    assert tell(collect(events).cases()) == [(2, "p4")]


def test_what_sessions_do_not_remember_asks_for_no_row() -> None:
    events = [event("v", 0, "p1"), event("v", 1, "p9", "view_item_list"), event("v", 2, None, "search")]
    assert tell(collect([*events, event("v", 3, "p2")]).cases()) == [(0, "p2")]


def test_the_next_visit_is_no_next_click() -> None:
    at_the_end = collect([event("v", 0, "p1"), event("v", 1, "p2", at=GAP_MS)])
    after_it = collect([event("v", 0, "p1"), event("v", 1, "p2", at=GAP_MS + 1)])
    assert len(at_the_end.cases()) == 1
    assert after_it.cases() == ()


def test_a_late_event_begins_and_ends_nothing_but_its_product_is_seen() -> None:
    first, late, second, third = (event("v", number, f"p{number}") for number in range(4))
    returned = event("v", 4, "p1")
    found = collect([first, second, late, third, returned])
    assert tell(found.cases()) == [(0, "p2"), (2, "p3")]
    assert found.returns == 1


def test_notes_tell_of_how_many_cases_some_were_drawn() -> None:
    views = [event("v", number, f"p{number}") for number in range(9)]
    assert any("3 of 8 cases" in note for note in collect(views, most=3).notes())
    assert len(collect(views).notes()) == 1


def test_no_case_is_kept_where_none_is_wanted() -> None:
    assert collect([event("v", 0, "p1"), event("v", 1, "p2")], most=0).cases() == ()


TYPES: Sequence[EventType] = ("view_item", "select_item", "add_to_cart", "remove_from_cart", "view_item_list")
DONE = st.lists(
    st.tuples(st.sampled_from(TYPES), st.integers(0, 5), st.integers(0, 40 * MINUTE_MS)), max_size=12
)


def stream(visitor_id: str, done: Sequence[tuple[EventType, int, int]]) -> list[Event]:
    """A visitor's events; times go on, and may stand still."""
    at, made = 0, []
    for number, (type_, product, later) in enumerate(done):
        at += later
        made.append(event(visitor_id, number, f"p{product}", type_, at))
    return made


@examples(50)
@given(st.lists(DONE, min_size=1, max_size=4), st.integers(1, 8), st.data())
def test_interleaving_and_repetition_change_nothing(
    people: list[list[tuple[EventType, int, int]]], most: int, data: st.DataObject
) -> None:
    streams = [stream(f"v{number}", done) for number, done in enumerate(people)]
    one_after_the_other = collect([each for events in streams for each in events], most)
    turns = data.draw(st.permutations([who for who, events in enumerate(streams) for _ in events]))
    left, passed, mixed = [list(events) for events in streams], [], []
    for who in turns:
        mixed.append(left[who].pop(0))
        passed.append(mixed[-1])
        if data.draw(st.booleans()):
            mixed.append(data.draw(st.sampled_from(passed)))
    found = collect(mixed, most)
    assert found.cases() == one_after_the_other.cases()
    assert (found.found, found.returns) == (one_after_the_other.found, one_after_the_other.returns)


@examples(50)
@given(st.lists(DONE, min_size=1, max_size=4), st.integers(1, 8))
def test_a_sample_is_part_of_every_larger_one(
    people: list[list[tuple[EventType, int, int]]], most: int
) -> None:
    events = [each for number, done in enumerate(people) for each in stream(f"v{number}", done)]
    small, large, whole = (set(collect(events, size).cases()) for size in (most, most + 3, 1_000))
    assert small <= large <= whole
    assert len(small) == min(most, len(whole))


@given(DONE)
def test_no_target_was_seen_before_its_click(done: list[tuple[EventType, int, int]]) -> None:
    events = stream("v", done)
    for case in collect(events).cases():
        before = [each for each in events if each.type in ("view_item", "add_to_cart", "remove_from_cart")]
        assert case.target not in {each.product_id for each in before if each.occurred_at < case.next_at}
        assert 0 <= case.next_at - case.at <= GAP_MS
