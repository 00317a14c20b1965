"""Dead letters that ingest judges again: as on the day they came, and the same each time."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import deadletters
from schemas.deadletters import Frame, Returned
from services.ingest.dead_letters import PATHS, revalidate, with_id
from services.ingest.publisher import dead_letter
from services.ingest.segment.mapping import validate_messages
from services.ingest.segment.messages import CONTEXT_BYTES_MAX, Parcel, frame_of, split_batch
from services.ingest.validation import Provenance, Rejected

NOW = 1_767_225_600_000
ID = "01JD3Y6Q8W4ZB1N5T2K7M9RXCA"
VIEW = {"event_id": ID, "type": "view_item", "visitor_id": "v1", "occurred_at": NOW - 5, "product_id": "p1"}
TRACK = {"type": "track", "event": "Product Viewed", "anonymousId": "a1", "properties": {"product_id": "p1"}}


def make_returned(raw: Any, path: str = "/v1/events", **more: Any) -> Returned:
    encoded = raw if isinstance(raw, bytes) else msgspec.json.encode(raw)
    made = Returned(letter="events.dlq/0/17", raw=encoded, path=path, received_at=NOW, attempts=2)
    return msgspec.structs.replace(made, **more)


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


def test_an_event_was_received_when_it_came() -> None:
    found = revalidate(make_returned(VIEW | {"occurred_at": NOW + 10**9}))
    [event] = found.events
    assert (event.event_id, event.received_at, event.occurred_at) == (ID, NOW, NOW)
    assert (found.verdict.accepted, found.verdict.reasons, found.verdict.visitors) == (1, [], ["v1"])


def test_an_event_of_another_visitor_than_the_senders_is_refused_again() -> None:
    assert revalidate(make_returned(VIEW, sender="v1")).accepted == 1
    assert "another visitor" in revalidate(make_returned(VIEW, sender="v2")).verdict.reasons[0]


def test_a_refused_letter_keeps_how_it_came() -> None:
    frame = Frame(sent_at=iso(NOW))
    found = revalidate(
        make_returned(TRACK | {"event": None}, "/v1/batch", frame=frame, sender="v1", attempts=3)
    )
    [rejected] = found.rejected
    _, raw, headers = dead_letter(rejected, found.way, at=NOW + 7)
    told = dict(headers)
    assert told["source"] == b"/v1/batch"
    assert (told["attempts"], told["failed_at"]) == (b"3", str(NOW + 7).encode())
    assert (told["received_at"], told["sender"]) == (str(NOW), "v1")
    assert deadletters.decode_frame(told["frame"]) == frame  # type: ignore[arg-type]
    assert raw == rejected.raw


def test_a_letter_of_today_says_only_what_is_not_plain() -> None:
    _, _, headers = dead_letter(Rejected(0, "decode", "no", b"x"), Provenance("/v1/events", NOW), at=NOW)
    assert [name for name, _ in headers] == ["reason", "service", "stage", "source", "failed_at"]


@pytest.mark.parametrize(
    ("path", "raw"), [("/v1/events", {"events": [VIEW, {}]}), ("/v1/batch", {"batch": [TRACK, {}]})]
)
def test_a_whole_body_is_taken_entry_by_entry(path: str, raw: Any) -> None:
    found = revalidate(make_returned(raw, path, whole=True))
    assert (found.accepted, len(found.rejected)) == (1, 1)
    unreadable = revalidate(make_returned(b"{", path, whole=True))
    assert (unreadable.accepted, unreadable.rejected[0].stage, unreadable.rejected[0].raw) == (
        0,
        "body",
        b"{",
    )


def test_the_frame_of_a_batch_is_enough_to_judge_its_messages_as_in_the_batch() -> None:
    context = {"page": {"path": "/p1", "title": "x"}, "userAgent": "Mozilla/5.0 Mobi", "os": {"name": "x"}}
    message = TRACK | {"timestamp": iso(NOW - 90_000), "messageId": ID}
    body = {"batch": [message], "sentAt": iso(NOW - 60_000), "context": context}
    parcel = split_batch(msgspec.json.encode(body))
    then = validate_messages(parcel, received_at=NOW)
    now = revalidate(make_returned(message, "/v1/batch", frame=frame_of(parcel)))
    assert now.events == then.events
    assert now.events[0].occurred_at == NOW - 30_000


def test_a_frame_never_has_much() -> None:
    assert frame_of(Parcel([])) is None
    large = {"page": {"path": "x" * CONTEXT_BYTES_MAX}}
    assert frame_of(Parcel([], sent_at="2026-01-01", context=large)) == Frame(sent_at="2026-01-01")
    assert frame_of(Parcel([], context={"os": {"name": "x"}, "page": 3})) == Frame(context={"page": 3})


def test_a_message_that_names_neither_itself_nor_a_time_is_named_after_its_letter() -> None:
    first, again = (revalidate(make_returned(TRACK, "/v1/track")).events[0] for _ in range(2))
    other = revalidate(make_returned(TRACK, "/v1/track", letter="events.dlq/0/18")).events[0]
    assert first == again
    assert first.event_id != other.event_id
    for name in ("messageId", "timestamp", "originalTimestamp"):
        raw = msgspec.json.encode(TRACK | {name: "x"})
        assert with_id(raw, "events.dlq/0/17") == raw


def test_joins_are_told_and_left_out_where_something_newer_is_known() -> None:
    login = {"anonymousId": "a1", "userId": "u1", "timestamp": iso(NOW - 5)}
    found = revalidate(make_returned(login, "/v1/identify"))
    assert found.verdict.joins == {"a1": NOW - 5}
    assert found.verdict.visitors == ["a1", "user:u1"]
    assert len(found.joins_to_write) == 1
    assert revalidate(make_returned(login, "/v1/identify", joined=["a1"])).joins_to_write == []


@given(st.sampled_from([*sorted(PATHS), "/v1/products", ""]), st.binary(max_size=60), st.booleans())
def test_whatever_the_bytes_are_a_letter_is_taken_or_refused(path: str, raw: bytes, whole: bool) -> None:
    found = revalidate(make_returned(raw, path, whole=whole))
    assert found.accepted or found.rejected or (whole and raw)
    assert found == revalidate(make_returned(raw, path, whole=whole))
