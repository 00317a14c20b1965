"""The visits of the last hours: the newest state of each, bounded, and none of the forgotten."""

from schemas.sessions import KIND_OF, Session, SessionEvent, encode
from services.model.session import MINUTE_MS, Tuning
from services.recommender.live_learning import LatestVisits


def session(visitor_id: str, *events: tuple[int, str], kind: str = "view_item") -> bytes:
    """A session of events by minute and product."""
    entries = tuple(
        SessionEvent(minute * MINUTE_MS, number.to_bytes(16), product, KIND_OF[kind])  # type: ignore[index]
        for number, (minute, product) in enumerate(events)
    )
    return encode(Session(visitor_id, entries, "int8/x"))


def latest(most: int = 10) -> LatestVisits:
    return LatestVisits(most, Tuning())


def test_visits_come_by_the_time_of_their_last_event() -> None:
    visits = latest()
    visits.put("late", session("late", (1, "a"), (9, "b")))
    visits.put("early", session("early", (2, "c"), (3, "d")))
    assert visits.since(0) == [("c", "d"), ("a", "b")]


def test_a_visit_that_goes_on_counts_once_as_it_is_now() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "a")))
    assert visits.since(0) == [("a",)]
    visits.put("v", session("v", (1, "a"), (2, "b")))
    visits.put("v", session("v", (1, "a"), (2, "b"), (3, "c")))
    assert visits.since(0) == [("a", "b", "c")]


def test_a_visitor_who_comes_back_has_two_visits() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "a"), (2, "b")))
    assert visits.since(0) == [("a", "b")]
    visits.put("v", session("v", (1, "a"), (2, "b"), (100, "c")))
    assert visits.since(0) == [("a", "b"), ("c",)]


def test_what_the_model_has_learned_from_does_not_count_twice() -> None:
    visits = latest()
    visits.put("old", session("old", (1, "a"), (2, "b")))
    visits.put("new", session("new", (3, "a"), (4, "b")))
    assert visits.since(2 * MINUTE_MS) == [("a", "b")]


def test_the_oldest_are_forgotten_where_there_are_too_many() -> None:
    visits = latest(most=2)
    for minute, visitor in enumerate(("first", "second", "third")):
        visits.put(visitor, session(visitor, (minute, visitor)))
    assert visits.since(-1) == [("second",), ("third",)]


def test_who_has_moved_last_is_kept_not_who_came_last() -> None:
    visits = latest(most=2)
    visits.put("stays", session("stays", (1, "a")))
    visits.put("leaves", session("leaves", (2, "b")))
    visits.since(0)
    visits.put("stays", session("stays", (1, "a"), (3, "c")))
    visits.since(0)
    visits.put("new", session("new", (4, "d")))
    assert visits.since(0) == [("a", "c"), ("d",)]


def test_a_forgotten_visitor_leaves_nothing() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "a"), (2, "b")))
    assert visits.since(0)
    visits.put("v", session("v", (1, "a"), (2, "b"), (100, "c"), (101, "d")))
    visits.put("v", None)
    assert visits.since(0) == []


def test_a_visit_that_begins_with_a_click_is_one_visit_when_its_view_follows() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "a"), (100, "b"), (101, "c"), kind="select_item"))
    assert visits.since(0) == [("b", "c")]
    # The view of b is the visit's first event from now on, and late.
    entries = ((1, "a", "view_item"), (102, "b", "view_item"), (101, "c", "select_item"))
    events = sorted(
        SessionEvent(minute * MINUTE_MS, minute.to_bytes(16), product, KIND_OF[kind])  # type: ignore[index]
        for minute, product, kind in entries
    )
    visits.put("v", encode(Session("v", tuple(events), "int8/x")))
    assert visits.since(0) == [("c", "b")]


def test_a_visit_whose_first_event_comes_late_is_one_visit() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "old"), (100, "b"), (101, "c")))
    assert visits.since(0) == [("b", "c")]
    visits.put("v", session("v", (1, "old"), (90, "a"), (100, "b"), (101, "c")))
    assert visits.since(0) == [("a", "b", "c")]


def test_what_was_taken_back_is_no_interest() -> None:
    visits = latest()
    visits.put("v", session("v", (1, "a"), (2, "b"), kind="remove_from_cart"))
    assert visits.since(0) == [()]


def test_rubbish_is_passed_over() -> None:
    visits = latest()
    visits.put("v", b"rubbish")
    assert visits.since(0) == []
