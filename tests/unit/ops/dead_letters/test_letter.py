"""What a letter's headers say, which letters are meant, and the marks behind them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import deadletters
from schemas.deadletters import Frame, LetterId, Return, attempts_of, mark, parse_mark
from schemas.topics import EVENTS_DLQ, PRODUCTS_DLQ
from services.kafka.ranges import Span
from services.ops.dead_letters.ingest import chunks
from services.ops.dead_letters.letter import NoSuchLetter, Place, Selection, letter_of
from services.ops.dead_letters.query import CODES, MARK, OPEN, Marks
from tests.support.dead_letters import AT, headers, letter
from tests.support.messages import StoredMessage

ids = st.builds(
    LetterId, st.sampled_from(["events.dlq", "products.dlq"]), st.integers(0, 99), st.integers(0, 10**12)
)


@given(ids)
def test_an_id_is_read_as_it_is_written(letter_id: LetterId) -> None:
    assert LetterId.parse(str(letter_id)) == letter_id


@pytest.mark.parametrize("text", ["", "17", "events.dlq/0", "events.dlq/0/-1", "events.dlq/0/1/2", "a b/0/1"])
def test_what_is_no_id_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"events\.dlq/0/17"):
        LetterId.parse(text)


@given(st.none() | st.binary(max_size=12))
def test_any_header_of_attempts_is_a_number_from_one(value: bytes | None) -> None:
    assert attempts_of([(deadletters.ATTEMPTS, value)]) >= 1
    assert attempts_of({deadletters.ATTEMPTS: value}) >= 1


def test_attempts_are_said_from_the_second_on() -> None:
    assert deadletters.ATTEMPTS not in dict(headers())
    told = deadletters.headers(reason="", service="", stage="", source="", failed_at=1, attempts=2)
    assert attempts_of(told) == 2
    assert attempts_of(None) == attempts_of(headers()) == 1


def test_a_letter_of_a_topic_tells_where_its_message_lay() -> None:
    told = letter(b"raw", key=b"v1", source="shadow.events/3/17")
    assert (told.place, told.came_by_http, told.is_whole_body) == (Place(3, 17), False, False)
    assert (told.failed_at, told.received_at, told.attempts) == (AT, AT, 1)
    assert letter(b"raw", source="products, read earlier").place is None


def test_a_letter_of_http_tells_when_and_from_whom_it_came_first() -> None:
    frame = deadletters.encode_frame(Frame(sent_at="2026-01-01"))
    more = [("received_at", b"5"), ("sender", b"v1"), ("frame", frame), ("attempts", b"3")]
    told = letter(b"raw", source="/v1/batch", stage="body", more=more)
    assert (told.came_by_http, told.is_whole_body, told.place) == (True, True, None)
    assert (told.received_at, told.sender, told.attempts) == (5, "v1", 3)
    assert told.frame == Frame(sent_at="2026-01-01")


@given(
    st.lists(st.tuples(st.sampled_from(["failed_at", "sender", "frame", "source"]), st.binary(max_size=9)))
)
def test_whatever_its_headers_are_a_letter_can_be_read(found: list[tuple[str, bytes]]) -> None:
    told = letter_of(StoredMessage(None, None, [*found], at=AT), EVENTS_DLQ)
    assert told.id == LetterId("events.dlq", 0, 0)
    assert told.sender != ""


def test_a_selection_means_what_fits_all_that_it_names() -> None:
    told = letter(b"raw", reason="Invalid enum value 'x'", stage="validate", offset=4)
    assert Selection.of([]).fits(told)
    assert Selection.of([], reason="INVALID enum", stage="validate", service="session_processor").fits(told)
    assert not Selection.of([], reason="INVALID enum", stage="decode").fits(told)
    assert not Selection.of([], service="ingest").fits(told)
    assert Selection.of(["events.dlq/0/4"]).fits(told)
    assert not Selection.of(["events.dlq/0/5"]).fits(told)


def test_a_selection_reads_only_topics_that_it_can_mean() -> None:
    assert Selection.of([], topic="products").topics == (PRODUCTS_DLQ,)
    assert Selection.of(["events.dlq/0/4"]).topics == (EVENTS_DLQ,)
    with pytest.raises(NoSuchLetter, match="dead letters lie on"):
        Selection.of(["events/0/4"])


@given(ids, st.sampled_from([*CODES]), st.integers(1, 99))
def test_a_mark_says_which_letter_it_handles_and_how(
    letter_id: LetterId, outcome: str, attempts: int
) -> None:
    assert outcome in ("requeued", "dropped")
    key, told = mark(letter_id, outcome, at=AT, attempts=attempts)  # type: ignore[arg-type]
    assert key == str(letter_id).encode()
    assert parse_mark(told) == (letter_id, outcome)
    assert attempts_of(told) == attempts


def test_a_letter_is_no_mark_even_under_a_key_like_one() -> None:
    marks = Marks([Span("events.dlq", 0, 0, 9)])
    marks.note(StoredMessage(b"events.dlq/0/1", None, [*headers()], at=AT, offset=2), EVENTS_DLQ)
    assert {marks.code(0, offset) for offset in range(9)} == {OPEN}


def test_the_last_mark_of_a_letter_counts_and_marks_of_what_is_gone_are_passed_over() -> None:
    marks = Marks([Span("events.dlq", 0, 3, 9)])

    def note(handled: LetterId, outcome: str, offset: int) -> None:
        key, told = mark(handled, outcome, at=AT, attempts=1)  # type: ignore[arg-type]
        marks.note(StoredMessage(key, None, [*told], at=AT, offset=offset), EVENTS_DLQ)

    note(LetterId("events.dlq", 0, 1), "dropped", 5)  # aged out
    note(LetterId("events.dlq", 7, 4), "dropped", 6)  # no such partition
    note(LetterId("events.dlq", 0, 4), "dropped", 7)
    note(LetterId("events.dlq", 0, 4), "requeued", 8)
    found = [marks.code(0, offset) for offset in range(3, 9)]
    assert found == [OPEN, CODES["requeued"], MARK, MARK, MARK, MARK]


@given(
    st.sampled_from(["failed_at", "received_at", "attempts", "sender", "frame", "source"]),
    st.binary(max_size=15),
)
def test_whatever_its_headers_say_ingest_takes_the_batch_that_it_is_in(name: str, said: bytes) -> None:
    odd = letter(b"{}", source="/v1/events", more=[(name, said)])
    for found in (odd, letter_of(StoredMessage(None, b"{}", at=-1), EVENTS_DLQ)):
        [[returned]] = chunks([found], ())
        assert msgspec.json.decode(msgspec.json.encode(Return([returned])), type=Return).letters == [returned]


@pytest.mark.parametrize("said", [b"9999999999999", b"0", b"-1", b"nan"])
def test_a_time_that_cannot_be_is_one_that_can(said: bytes) -> None:
    found = letter(b"{}", more=[("received_at", said)])
    assert 0 <= found.received_at <= 4_102_444_800_000
