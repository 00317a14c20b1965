"""Whatever one entry of a batch holds, the others are taken, and it has a reason."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events, products
from schemas.events import Event
from services.ingest.envelope import split_list, split_object
from services.ingest.segment.mapping import validate_messages
from services.ingest.segment.messages import split_batch, split_call
from services.ingest.validation import (
    UnreadableBatch,
    split_events,
    split_products,
    validate_events,
    validate_products,
)

NOW = 1_732_406_400_000
VIEW = {
    "event_id": "01JD3Y6Q8W4ZB1N5T2K7M9RXCA",
    "type": "view_item",
    "visitor_id": "v1",
    "occurred_at": NOW,
    "product_id": "p1",
    "query": "QUERY",
}
BOOT = {
    "product_id": "p1",
    "name": "QUERY",
    "price": 1,
    "currency": "EUR",
    "availability": "in_stock",
    "updated_at": NOW,
}
TRACK = {
    "type": "track",
    "event": "Product Viewed",
    "anonymousId": "a1",
    "properties": {"product_id": "p1", "query": "QUERY"},
}

# What stands in a field, and a part of the reason.
ODD = {
    rb'"\ud83d"': r"half a character, \ud83d: cut texts between characters",
    rb'"a\ude00b"': r"half a character, \ude00",
    rb'"\ud83d\ud83d\ude00"': r"half a character, \ud83d",
    rb'"\\\ud83d"': r"half a character, \ud83d",
    b'"\xf0\x9f\x98"': "is not UTF-8",
    b'"caf\xe9"': "is not UTF-8",
    b'"\xed\xa0\xbd"': "is not UTF-8",
    b'"a\x00b"': "malformed",
    b'"a\nb"': "malformed",
    rb'"\x41"': "malformed",
    rb'"\u12g4"': "malformed",
    b"NaN": "malformed",
    b"01": "malformed",
    b"undefined": "malformed",
    b'"a" "b"': "malformed",
    b"[1,,2]": "",
    b"[" * 3_000 + b"]" * 3_000: "",
}
odd_texts = st.sampled_from(list(ODD))


def with_text(entry: dict[str, Any], odd: bytes) -> bytes:
    return msgspec.json.encode(entry).replace(b'"QUERY"', odd)


def body(name: str, entries: list[bytes]) -> bytes:
    return b'{"%s": [%s]}' % (name.encode(), b" ,\n".join(entries))


def views(sent: bytes) -> tuple[int, list[tuple[int, str, bytes]]]:
    verdict = validate_events(split_events(sent), received_at=NOW, visitor_id="v1")
    return len(verdict.accepted), [(each.index, each.reason, each.raw) for each in verdict.rejected]


def boots(sent: bytes) -> tuple[int, list[tuple[int, str, bytes]]]:
    found = validate_products(split_products(sent), received_at=NOW)
    return len(found.accepted), [(each.index, each.reason, each.raw) for each in found.rejected]


def tracks(sent: bytes) -> tuple[int, list[tuple[int, str, bytes]]]:
    found = validate_messages(split_batch(sent), received_at=NOW)
    return found.accepted, [(each.index, each.reason, each.raw) for each in found.rejected]


KINDS = [("events", VIEW, views), ("products", BOOT, boots), ("batch", TRACK, tracks)]


@pytest.mark.parametrize(("name", "good", "judge"), KINDS)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_entry_is_refused_with_a_reason_and_takes_none_with_it(
    name: str, good: dict[str, Any], judge: Any, odd: bytes
) -> None:
    whole, bad = msgspec.json.encode(good), with_text(good, odd)
    accepted, [(index, reason, raw)] = judge(body(name, [whole, bad, whole]))
    assert (accepted, index, raw) == (2, 1, bad)
    assert reason
    assert ODD[odd] in reason


@pytest.mark.parametrize(("name", "good", "judge"), KINDS)
@given(places=st.lists(st.none() | odd_texts, min_size=1, max_size=6))
def test_any_mix_is_judged_entry_by_entry(
    name: str, good: dict[str, Any], judge: Any, places: list[bytes | None]
) -> None:
    entries = [msgspec.json.encode(good) if odd is None else with_text(good, odd) for odd in places]
    accepted, rejected = judge(body(name, entries))
    assert accepted == places.count(None)
    assert [(index, raw) for index, _, raw in rejected] == [
        (place, entries[place]) for place, odd in enumerate(places) if odd is not None
    ]


junk = st.binary(max_size=12).filter(lambda each: not set(each) & set(b'"\\[]{},:'))


@given(junk, st.booleans())
def test_bytes_by_chance_within_a_text_stay_within_their_entry(inserted: bytes, first: bool) -> None:
    whole, bad = msgspec.json.encode(VIEW), with_text(VIEW, b'"' + inserted + b'"')
    accepted, rejected = views(body("events", [bad, whole] if first else [whole, bad]))
    assert accepted + len(rejected) == 2
    assert accepted >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4), st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_what_json_has_apart_is_taken_apart_the_same(
    entries: list[object], members: dict[str, object]
) -> None:
    parts = split_list(msgspec.json.format(msgspec.json.encode(entries)))
    assert parts is not None
    assert [msgspec.json.decode(each) for each in parts] == msgspec.json.decode(msgspec.json.encode(entries))
    found = split_object(msgspec.json.format(msgspec.json.encode(members)))
    assert found is not None
    assert {name: msgspec.json.decode(each) for name, each in found.items()} == msgspec.json.decode(
        msgspec.json.encode(members)
    )


@given(st.binary(max_size=40) | st.text('[]{},:"\\ a1', max_size=20).map(str.encode))
def test_any_bytes_are_taken_apart_or_not_and_nothing_is_invented(raw: bytes) -> None:
    for part in split_list(raw) or ():
        assert part
        assert part in raw
    split_object(raw)
    for split in (split_events, split_products, split_batch, split_call):
        with suppress(UnreadableBatch):
            split(raw)


@pytest.mark.parametrize(
    "sent",
    [
        rb'{"events":[{"a":"\ud83d"}',
        rb'{"events":[{"a":"\ud83d"}]]}',
        rb'{"events":[{"a":"\ud83d"]}',
        rb'{"events":[{"a":"\ud83d"},]}',
        rb'{"events":[{"a":"\ud83d"}]} x',
        rb'{"events":{"a":"\ud83d"}}',
        rb'{"events" [{"a":"\ud83d"}]}',
        rb'x{"events":[{"a":"\ud83d"}]}',
        rb'["\ud83d"]',
        rb'{"events":[{"a":"\ud83d}]}',
    ],
)
def test_a_body_that_is_no_batch_stays_unreadable(sent: bytes) -> None:
    with pytest.raises(UnreadableBatch):
        split_events(sent)


def test_what_a_batch_says_of_all_is_left_out_where_it_cannot_be_read() -> None:
    sent = rb'{"batch":[1,2],"context":{"locale":"\ud83d"},"sentAt":"2026-01-01T00:00:00Z","writeKey":"k"}'
    parcel = split_batch(sent)
    assert (len(parcel.entries), parcel.context, parcel.sent_at, parcel.write_key) == (
        2,
        {},
        "2026-01-01T00:00:00Z",
        "k",
    )


def test_a_call_with_half_an_emoji_is_one_refused_message_that_shows_its_key() -> None:
    parcel = split_call(rb'{"writeKey":"k","event":"\ud83d","anonymousId":"a"}')
    assert parcel.write_key == "k"
    assert "half a character" in validate_messages(parcel, received_at=NOW, kind="track").rejected[0].reason


# Control characters


@pytest.mark.parametrize("field", ["product_id", "user_id", "session_id", "list_id", "recommendation_id"])
@pytest.mark.parametrize("odd", ["a\x00", "\x1b[31m", "a\nb", "\x7f", "\x9b"])
def test_an_id_of_an_event_with_a_control_character_is_refused(field: str, odd: str) -> None:
    _, [(_, reason, _)] = views(body("events", [msgspec.json.encode(VIEW | {field: odd})]))
    assert reason.startswith(f"{field}: holds a control character, U+00")


@pytest.mark.parametrize("field", ["product_id", "brand", "type", "category", "tags", "markets", "url"])
def test_a_name_of_a_product_with_a_control_character_is_refused(field: str) -> None:
    value: object = ["a", "b\x00"] if field in {"category", "tags", "markets"} else "b\x00"
    _, [(_, reason, _)] = boots(body("products", [msgspec.json.encode(BOOT | {field: value})]))
    assert reason == f"{field}: holds a control character, U+0000, at place 1"


def test_what_people_read_is_taken_without_its_control_characters() -> None:
    view = VIEW | {"query": "red\x00boot\x1b", "context": {"page": "/a\x0bb"}}
    [event] = validate_events(
        [msgspec.Raw(msgspec.json.encode(view))], received_at=NOW, visitor_id=None
    ).accepted
    assert event.query == "red boot "
    assert event.context is not None
    assert event.context.page == "/a b"
    boot = BOOT | {"name": "a\x00b", "description": "one\n\ttwo\x0bthree"}
    [product] = validate_products([msgspec.Raw(msgspec.json.encode(boot))], received_at=NOW).accepted
    assert (product.name, product.description) == ("a b", "one\n\ttwo three")


def test_a_line_of_an_order_whose_id_is_odd_does_not_take_the_order_with_it() -> None:
    order = {
        "type": "track",
        "event": "Order Completed",
        "anonymousId": "a1",
        "properties": {"products": [{"product_id": "p1"}, {"product_id": "p\x00"}]},
    }
    found = validate_messages(split_batch(body("batch", [msgspec.json.encode(order)])), received_at=NOW)
    assert [each.products() for each in found.events] == [("p1",)]


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_was_taken_can_be_written_and_read(query: str, page: str) -> None:
    view = msgspec.json.encode(VIEW | {"query": query, "context": {"page": page}})
    for event in validate_events([msgspec.Raw(view)], received_at=NOW, visitor_id=None).accepted:
        assert isinstance(event, Event)
        assert events.decode(events.encode(event)) == event
        assert events.clean(event) == event
    boot = msgspec.json.encode(BOOT | {"name": query or "n", "description": page})
    for product in validate_products([msgspec.Raw(boot)], received_at=NOW).accepted:
        assert products.decode(products.encode(product)) == product
        assert products.clean(product) == product
