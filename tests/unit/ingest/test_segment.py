"""Segment's messages: what they say in our terms, and that nothing but a refusal comes of what is odd."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events, identities
from schemas.events import MAX_EVENT_BYTES, Context, Event, Item, id_of_order, is_visitor_id
from schemas.identities import Identity, visitor_of
from schemas.times import MAX_CLOCK_AHEAD_MS
from services.ingest.segment.mapping import Messages, validate_messages
from services.ingest.segment.messages import KINDS, Kind, Parcel, split_batch, split_call
from services.ingest.validation import UnreadableBatch

NOW = 1_767_225_600_000  # 2026-01-01
Json = dict[str, Any]

VIEW: Json = {
    "type": "track",
    "event": "Product Viewed",
    "anonymousId": "anon-1",
    "messageId": "node-next-1668208232027-743be593-7789-4b74-8078-cbcc8894c586",
    "properties": {"product_id": "p1"},
}
LOGIN: Json = {"type": "identify", "anonymousId": "anon-1", "userId": "customer-17", "traits": {"plan": "x"}}


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


def take(*messages: Json, received_at: int = NOW, kind: Kind | None = None, **batch: Any) -> Messages:
    parcel = split_batch(msgspec.json.encode({"batch": messages, **batch}))
    return validate_messages(parcel, received_at=received_at, kind=kind)


def event(message: Json, **batch: Any) -> Event:
    messages = take(message, **batch)
    assert not messages.rejected, messages.rejected[0].reason
    return messages.events[0]


def reason(message: Json) -> str:
    messages = take(message)
    assert not messages.events
    assert not messages.joins
    return messages.rejected[0].reason


# People


def test_the_anonymous_visitor_speaks_and_the_user_is_named() -> None:
    told = event(VIEW | {"userId": "customer-17"})
    assert (told.visitor_id, told.user_id) == ("anon-1", "customer-17")


def test_without_an_anonymous_id_the_users_own_visitor_speaks() -> None:
    told = event(VIEW | {"anonymousId": None, "userId": 17})
    assert (told.visitor_id, told.user_id) == (visitor_of("17"), "17")
    assert take(VIEW | {"anonymousId": "", "userId": 17}).joins == []


@pytest.mark.parametrize("odd", ["a b", "ä", "x" * 65, "user:17", "line\nfeed"])
def test_an_odd_anonymous_id_becomes_a_visitor_that_stays_the_same(odd: str) -> None:
    first, second = (event(VIEW | {"anonymousId": odd}).visitor_id for _ in range(2))
    assert first == second != odd
    assert is_visitor_id(first)
    assert first != event(VIEW | {"anonymousId": f"{odd}x"}).visitor_id


def test_identify_joins_the_visitor_to_the_user() -> None:
    messages = take(LOGIN | {"timestamp": iso(NOW - 5)})
    [join] = messages.joins
    assert join.identity == Identity(visitor_id="anon-1", user_id="customer-17", occurred_at=NOW - 5)
    assert join.stated
    assert (messages.accepted, messages.events) == (1, [])


@pytest.mark.parametrize("kind", ["track", "page", "screen", "group"])
def test_both_ids_on_another_message_join_too(kind: str) -> None:
    [join] = take(VIEW | {"type": kind, "userId": "customer-17"}).joins
    assert join.identity.user_id == "customer-17"
    assert not join.stated


@pytest.mark.parametrize("missing", ["anonymousId", "userId"])
def test_identify_with_one_id_is_taken_and_joins_nothing(missing: str) -> None:
    messages = take({name: value for name, value in LOGIN.items() if name != missing})
    assert (messages.accepted, messages.ignored, messages.rejected) == (0, {"identify": 1}, [])


def test_alias_joins_the_former_id_as_a_visitor_and_as_a_user() -> None:
    joins = take({"type": "alias", "previousId": "17", "userId": "customer-17"}).joins
    assert {(each.identity.visitor_id, each.identity.user_id) for each in joins} == {
        ("17", "customer-17"),
        (visitor_of("17"), "customer-17"),
    }
    assert take({"type": "alias", "userId": "u"}).ignored == {"alias": 1}
    assert take({"type": "alias", "previousId": "u", "userId": "u"}).ignored == {"alias": 1}


@pytest.mark.parametrize("name", ["userId", "previousId"])
def test_an_id_that_is_too_long_is_refused(name: str) -> None:
    assert f"{name}: 257" in reason({"type": "alias", "userId": "u", "previousId": "p", name: "x" * 257})


# Times and ids


@pytest.mark.parametrize(
    ("told", "sent_at", "expected"),
    [
        ({}, None, NOW),
        ({}, iso(NOW - 100), NOW),
        ({"timestamp": iso(NOW - 100)}, None, NOW - 100),
        ({"timestamp": "2025-12-31T23:59:59.900Z"}, None, NOW - 100),
        ({"timestamp": "2026-01-01T00:59:59.900+01:00"}, None, NOW - 100),
        ({"timestamp": "2025-12-31T23:59:59.900"}, None, NOW - 100),
        # A clock an hour behind, and one a year ahead; 40 ms lie between the event and the sending.
        ({"timestamp": iso(NOW - 3_600_040)}, iso(NOW - 3_600_000), NOW - 40),
        ({"originalTimestamp": iso(NOW + 31_536_000_000)}, iso(NOW + 31_536_000_040), NOW - 40),
        # A device that thinks it is 1970.
        ({"originalTimestamp": "1970-01-01T00:00:01Z"}, "1970-01-01T00:00:02Z", NOW - 1000),
        # The message's own time of sending counts before the batch's.
        ({"timestamp": iso(NOW - 50), "sentAt": iso(NOW - 10)}, iso(NOW), NOW - 40),
        # Corrected by Segment already, and passed on a day later.
        (
            {"timestamp": iso(NOW - 86_400_000), "originalTimestamp": iso(5), "sentAt": iso(9)},
            None,
            NOW - 86_400_000,
        ),
        # An import of history by an SDK.
        ({"timestamp": "2012-12-02T00:30:12.984Z"}, iso(NOW), 1_354_408_212_984),
        # Without a correction a clock ahead is set back, as with all events.
        ({"timestamp": iso(NOW + MAX_CLOCK_AHEAD_MS)}, None, NOW + MAX_CLOCK_AHEAD_MS),
        ({"timestamp": iso(NOW + MAX_CLOCK_AHEAD_MS + 1)}, None, NOW),
    ],
)  # fmt: skip
def test_the_time_is_corrected_by_segments_rule(told: Json, sent_at: str | None, expected: int) -> None:
    found = event(VIEW | told, sentAt=sent_at)
    assert (found.occurred_at, found.received_at) == (expected, NOW)
    assert take(LOGIN | told, sentAt=sent_at).joins[0].identity.occurred_at == expected


@pytest.mark.parametrize("name", ["timestamp", "originalTimestamp", "sentAt"])
def test_a_time_that_is_none_is_refused_by_its_name(name: str) -> None:
    told = {"timestamp": iso(NOW), name: "yesterday"} if name == "sentAt" else {name: "yesterday"}
    assert "'yesterday' is no ISO 8601 time" in reason(VIEW | told)


def test_a_time_before_1970_is_refused() -> None:
    assert "before 1970" in reason(VIEW | {"timestamp": "1969-12-31T23:59:59Z"})


@pytest.mark.parametrize("message_id", ["01JD3Y6Q8W4ZB1N5T2K7M9RXCA", "7d1f3f0e-5b0a-4c58-9a8e-2f6c1f7f9d21"])
def test_a_message_id_that_events_can_have_is_kept(message_id: str) -> None:
    assert event(VIEW | {"messageId": message_id}).event_id == message_id


@given(st.text(min_size=1, max_size=40) | st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**41))
def test_a_retried_message_has_the_same_event_id(message_id: str | int, later: int) -> None:
    message = VIEW | {"messageId": message_id}
    first = take(message, sentAt=iso(NOW)).events[0]
    again = take(VIEW, message, received_at=NOW + later, sentAt=iso(NOW + later)).events[1]
    assert first.event_id == again.event_id
    assert events.decode(events.encode(first)) == first


def test_the_id_that_follows_from_a_message_id_never_changes() -> None:
    assert event(VIEW).event_id == "325df700-9cac-5110-8e52-e54f386ed34c"


def test_other_message_ids_make_other_events() -> None:
    ids = {event(VIEW | {"messageId": f"ajs-next-{number}"}).event_id for number in range(100)}
    assert len(ids) == 100


def test_without_a_message_id_the_same_bytes_are_the_same_event() -> None:
    message = VIEW | {"messageId": None, "timestamp": iso(NOW)}
    first, again = event(message), take(message, received_at=NOW + 9).events[0]
    other = event(message | {"timestamp": iso(NOW + 1)})
    assert first.event_id == again.event_id != other.event_id


def test_without_an_id_and_a_time_the_same_view_again_is_another_event() -> None:
    message = VIEW | {"messageId": None}
    ids = [each.event_id for at in (NOW, NOW + 1) for each in take(message, message, received_at=at).events]
    assert len(set(ids)) == 4


BOUGHT: Json = VIEW | {"event": "Order Completed", "properties": {"order_id": "o-1", "product_id": "p1"}}


def test_an_order_is_one_event_whatever_its_message_is_called() -> None:
    first = event(BOUGHT)
    again = event(BOUGHT | {"messageId": "other", "event": "Completed Order"})
    assert first.event_id == again.event_id == id_of_order("purchase", "o-1")
    other = event(BOUGHT | {"properties": {"order_id": "o-2", "product_id": "p1"}})
    began = event(BOUGHT | {"event": "Checkout Started"})
    assert len({first.event_id, other.event_id, began.event_id}) == 3
    added = event(BOUGHT | {"event": "Product Added"})
    assert added.event_id == event(VIEW).event_id  # by its messageId


def test_a_refund_is_no_purchase() -> None:
    refund = BOUGHT | {"properties": {"order_id": "o-1", "product_id": "p1", "revenue": "-20"}}
    assert "a refund is no purchase" in reason(refund)
    assert take(BOUGHT | {"event": "Order Refunded"}).ignored == {"track": 1}


# Context


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, None),
        ({"library": {"name": "analytics-python"}, "ip": "24.5.68.47"}, None),
        ({"page": {"path": "/p", "url": "https://shop/p"}}, Context(page="/p")),
        ({"page": {"url": "https://shop/p", "referrer": "/"}}, Context(page="https://shop/p", referrer="/")),
        ({"referrer": {"url": "https://other/"}}, Context(referrer="https://other/")),
        ({"locale": "en-GB"}, Context(locale="en-GB")),
        ({"device": {"type": "ios"}}, Context(device="mobile")),
        ({"device": {"type": "phone", "name": "Apple iPhone 6"}}, Context(device="mobile")),
        ({"device": {"type": "tv"}}, Context(device="tv")),
        ({"userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 9_1) Mobile/13B143"}, Context(device="mobile")),
        ({"userAgent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0"}, Context(device="desktop")),
        ({"userAgent": "analytics-node-next/latest"}, None),
        ({"page": 5, "locale": ["en"], "device": "x", "userAgent": None, "referrer": 1}, None),
    ],
)  # fmt: skip
def test_the_context_is_told_as_far_as_it_is_known(told: Json, expected: Context | None) -> None:
    assert event(VIEW | {"context": told}).context == expected


def test_a_batchs_context_stands_in_for_what_a_message_does_not_say() -> None:
    told = event(
        VIEW | {"context": {"page": {"path": "/own"}}},
        context={"locale": "de", "page": {"path": "/batch"}},
    )
    assert told.context == Context(page="/own", locale="de")


def test_long_texts_are_cut_to_what_events_can_have() -> None:
    context = {"page": {"path": "/" * 3000, "referrer": "r" * 3000}, "locale": "l" * 300}
    told = event(
        VIEW | {"event": "Products Searched", "properties": {"query": "q" * 300}, "context": context}
    )
    assert events.decode(events.encode(told)) == told
    assert told.query == "q" * 256


# Kinds and batches


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_the_path_counts(kind: Kind) -> None:
    call = split_call(msgspec.json.encode(VIEW | {"type": "garbage"}))
    messages = validate_messages(call, received_at=NOW, kind=kind)
    assert messages.rejected == []
    assert bool(messages.events) == (kind == "track")


@pytest.mark.parametrize("told", [{"type": "Track"}, {"type": None}, {"type": ""}])
def test_within_a_batch_each_message_names_its_kind(told: Json) -> None:
    assert "expected one of track, identify" in reason(VIEW | told)


@pytest.mark.parametrize("kind", ["track", "identify"])
def test_what_is_about_nobody_is_refused(kind: str) -> None:
    assert f"{kind} needs a userId or an anonymousId" in reason(VIEW | {"type": kind, "anonymousId": None})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (VIEW | {"event": None}, "needs the name of an event"),
        (VIEW | {"event": 5}, "$.event"),
        (VIEW | {"properties": {}}, "needs a product_id"),
        (VIEW | {"properties": None}, "needs a product_id"),
        (VIEW | {"properties": []}, "$.properties"),
        (VIEW | {"properties": {"products": {"product_id": "p1"}}}, "$.properties.products"),
        (VIEW | {"event": "Products Searched"}, "needs a query"),
        (VIEW | {"userId": {"id": 1}}, "$.userId"),
        (VIEW | {"properties": {"product_id": "p1", "note": "x" * MAX_EVENT_BYTES}}, str(MAX_EVENT_BYTES)),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_place(message: Json, expected: str) -> None:
    assert expected in reason(message)


def test_each_message_of_a_batch_is_judged_on_its_own() -> None:
    bad = VIEW | {"properties": {}}
    other = VIEW | {"event": "Signed Up"}
    messages = take(VIEW, bad, other, LOGIN, {"type": "page", "anonymousId": "anon-1"})
    assert (messages.accepted, messages.ignored) == (2, {"track": 1, "page": 1})
    [refused] = messages.rejected
    assert (refused.index, msgspec.json.decode(refused.raw)) == (1, bad)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"batch": {}}', b'{"batch": [', b'{"batch": [], "sentAt": 5}', b"\xff"]
)
def test_a_body_that_is_no_batch_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBatch):
        split_batch(body)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b'{"writeKey": 5}', b"{" * 50_000])
def test_a_body_that_is_no_message_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBatch):
        split_call(body)


def test_the_write_key_comes_out_of_the_body() -> None:
    assert split_batch(b'{"batch": [], "writeKey": "k"}').write_key == "k"
    assert split_call(b'{"writeKey": "k"}').write_key == "k"
    assert split_call(b'{"writeKey": ""}').write_key is None


def test_products_looked_at_and_bought_are_told_alike_in_both_spellings() -> None:
    camel = event(VIEW | {"properties": {"productId": "p1"}})
    snake = event(VIEW | {"properties": {"product_id": "p1"}})
    assert camel == snake
    assert (camel.product_id, camel.items) == ("p1", ())
    bought = event(VIEW | {"event": "Order Completed", "properties": {"products": [{"productId": "p1"}]}})
    assert (bought.product_id, bought.items) == (None, (Item(product_id="p1"),))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["9" * 400, "nan", "inf", "1e308", "0001-01-01T00:00:00+14:00", "9999-12-31", 10**30]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
FIELDS = (
    "type", "event", "anonymousId", "userId", "previousId", "messageId", "timestamp", "originalTimestamp",
    "sentAt", "properties", "context",
)  # fmt: skip
PROPERTIES = (
    "products", "product_id", "sku", "quantity", "price", "revenue", "value", "currency", "query", "list_id",
)  # fmt: skip
NAMES = ["Product Viewed", "Product Added", "Order Completed", "Products Searched", "Signed Up"]
products = st.dictionaries(st.sampled_from(PROPERTIES), json_values, max_size=4)
# Right but for some fields, at every depth that is read: what gets furthest.
nearly = st.builds(
    lambda kind, name, told, fields: VIEW | {"type": kind, "event": name, "properties": told} | fields,
    st.sampled_from([*KINDS, "track", "track"]),
    st.sampled_from(NAMES),
    products | st.builds(lambda lines: {"products": lines}, st.lists(products, max_size=3)),
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=2),
)


@given(st.lists(st.binary(min_size=1, max_size=40) | nearly.map(msgspec.json.encode), max_size=3))
def test_any_message_is_taken_or_refused_with_a_reason(raws: list[bytes]) -> None:
    parcel = Parcel([msgspec.Raw(raw) for raw in raws], sent_at=iso(NOW))
    messages = validate_messages(parcel, received_at=NOW)
    assert messages.accepted + messages.ignored.total() + len(messages.rejected) == len(raws)
    for told in messages.events:
        assert events.decode(events.encode(told)) == told
        assert events.check(told) is None
    for join in messages.joins:
        assert identities.decode(identities.encode(join.identity)) == join.identity
    for refused in messages.rejected:
        assert refused.reason
        assert refused.raw == raws[refused.index]
