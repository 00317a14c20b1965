"""Which session a case is asked with, and which row its visitor was shown."""

from uuid import UUID

import msgspec

from schemas import erasures, impressions, sessions
from schemas.erasures import Erasure
from schemas.impressions import Shown, ShownItem
from schemas.sessions import CAUSED_BY, KIND_OF, Session, SessionEvent, identity
from services.ops.replay.next_click import Case
from services.ops.replay.recommendations import Row, read_shown_rows, states_of
from services.time_range import TimeRange
from tests.support.messages import EVERYTHING, StoredMessage, TopicReader


def event_id(number: int) -> str:
    return str(UUID(int=number))


CASE = Case("v", at=1_000, event_id=event_id(1), next_at=5_000, target="p9")


def state(
    *seen: tuple[int, int, str], visitor_id: str = "v", caused_by: str = CASE.event_id
) -> StoredMessage:
    """A message of `sessions` with these events: number, time, product."""
    events = tuple(
        SessionEvent(at, identity(event_id(number)), product, KIND_OF["view_item"])
        for number, at, product in seen
    )
    value = sessions.encode(Session(visitor_id, events))
    return StoredMessage(visitor_id.encode(), value, [(CAUSED_BY, caused_by.encode())])


BEFORE = (0, 500, "p0")
JUST_AFTER = state(BEFORE, (1, 1_000, "p1"))


def test_the_session_is_the_one_that_the_cases_event_has_caused() -> None:
    others = [
        state(BEFORE, caused_by=event_id(0)),
        state((1, 1_000, "p1"), visitor_id="another"),
        state(BEFORE, (1, 1_000, "p1"), (2, 5_000, "p9"), caused_by=event_id(2)),
    ]
    assert states_of([CASE], [others[0], JUST_AFTER, *others[1:]]) == {CASE: JUST_AFTER.value()}
    assert states_of([CASE], others) == {}


def test_an_event_that_was_sent_once_more_does_not_tell_the_answer() -> None:
    once_more = state(BEFORE, (1, 1_000, "p1"), (2, 5_000, "p8"))
    assert states_of([CASE], [JUST_AFTER, once_more]) == {CASE: JUST_AFTER.value()}


def test_of_two_that_know_the_same_the_newest_counts() -> None:
    events = (SessionEvent(1_000, identity(CASE.event_id), "p1", KIND_OF["view_item"]),)
    newer = StoredMessage(b"v", sessions.encode(Session("v", events, "layout", b"1")), JUST_AFTER.headers())
    assert states_of([CASE], [JUST_AFTER, newer]) == {CASE: newer.value()}


def test_a_case_whose_target_the_session_knows_and_what_cannot_be_read_are_left_out() -> None:
    knowing = state((0, 500, "p9"), (1, 1_000, "p1"))
    broken = StoredMessage(b"v", b"no session", JUST_AFTER.headers())
    gone = StoredMessage(b"v", None, JUST_AFTER.headers())
    assert states_of([CASE], [knowing, broken, gone]) == {}


def show(name: str, at: int, caused_by: str | None = CASE.event_id, **fields: object) -> StoredMessage:
    row = Shown(
        recommendation_id=name,
        visitor_id="v",
        slot="top",
        kind="for_you",
        shown_at=at,
        items=(ShownItem(product_id=name, score=1.0, source="content"),),
        models={"behaviour": "5"},
        caused_by=caused_by,
    )
    row = msgspec.structs.replace(row, **fields)
    return StoredMessage(row.visitor_id.encode(), impressions.encode(row), at=at)


def find(*messages: StoredMessage, erased: int | None = None, times: TimeRange = EVERYTHING) -> str | None:
    """The first product of the case's row."""
    said = (
        []
        if erased is None
        else [StoredMessage(b"v", erasures.encode(Erasure(visitor_id="v", erased_at=erased)))]
    )
    row = read_shown_rows(TopicReader(recommendations=messages, erasures=said), [CASE], times).get(CASE)
    return row.product_ids[0] if row else None


def test_the_newest_row_that_the_event_has_caused_before_the_next_click_counts() -> None:
    rows = [show("a", 1_100), show("b", 4_000), show("c", 2_000), show("d", 5_000)]
    assert find(*rows) == "b"
    assert find(*reversed(rows)) == "b"


def test_a_row_that_the_event_has_caused_wins_over_a_newer_one_of_before() -> None:
    assert find(show("a", 1_100), show("b", 4_000, event_id(0))) == "a"
    assert find(show("b", 4_000, None)) == "b"


def test_where_the_browsers_clock_is_behind_the_first_row_that_the_event_has_caused_counts() -> None:
    assert find(show("late", 9_000), show("first", 7_000)) == "first"


def test_rows_of_before_and_after_are_not_what_was_clicked_on() -> None:
    assert find(show("a", 900, event_id(0)), show("b", 5_000, event_id(2))) is None


def test_other_rows_and_other_visitors_and_what_cannot_be_read_do_not_count() -> None:
    others = show("b", 2_000, visitor_id="another")
    wrong_key = StoredMessage(b"v", others.value(), at=2_000)
    assert find(show("a", 2_000, kind="similar"), others, wrong_key, StoredMessage(b"v", b"{}", at=1)) is None


def test_what_an_erased_visitor_was_shown_is_left_out() -> None:
    assert find(show("a", 2_000), erased=3_000) is None
    assert find(show("a", 2_000), erased=1_500) == "a"


def test_only_rows_within_the_range_of_time_are_read() -> None:
    assert find(show("a", 2_000), show("b", 3_000), times=TimeRange(0, 3_000)) == "a"


def test_a_row_tells_what_made_it() -> None:
    message = show("a", 2_000, fallback="no_vectors", experiments={"e": "b"})
    rows = read_shown_rows(TopicReader(recommendations=[message]), [CASE], EVERYTHING)
    assert rows == {CASE: Row(("a",), "no_vectors", {"behaviour": "5"}, {"e": "b"})}
