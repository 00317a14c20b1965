"""Sorting a batch: every entry ends up accepted or refused with a reason, whatever its bytes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events, products
from schemas.events import MAX_EVENT_BYTES
from schemas.times import MAX_CLOCK_AHEAD_MS
from services.archive import history_events
from services.ingest.validation import (
    REASON_MAX,
    UnreadableBatch,
    split_events,
    validate_events,
    validate_products,
)

NOW = 1_732_406_400_000
ID = "01JD3Y6Q8W4ZB1N5T2K7M9RXCA"
VIEW = {"event_id": ID, "type": "view_item", "visitor_id": "v1", "occurred_at": NOW, "product_id": "p1"}
BOOT = {"product_id": "p1", "name": "Boot", "price": 1, "currency": "EUR", "availability": "in_stock"} | {
    "updated_at": NOW
}

BODY = msgspec.json.encode({"events": [VIEW, VIEW]})


def entry(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def reason(value: object, visitor_id: str | None = None) -> str:
    verdict = validate_events([entry(value)], received_at=NOW, visitor_id=visitor_id)
    assert not verdict.accepted
    return verdict.rejected[0].reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
# Right but for one field: what gets furthest into the decoder.
nearly_events = st.builds(
    lambda field, value: msgspec.json.encode(VIEW | {field: value}),
    st.sampled_from(events.Event.__struct_fields__),
    json_values,
)
# A right body with some bytes in the middle replaced.
nearly_batches = st.builds(
    lambda at, inserted, width: BODY[:at] + inserted + BODY[at + width :],
    st.integers(0, len(BODY)),
    st.binary(max_size=4),
    st.integers(0, 4),
)


@given(st.binary(max_size=40) | nearly_batches)
def test_any_body_can_be_split_or_has_a_reason(body: bytes) -> None:
    try:
        entries = split_events(body)
    except UnreadableBatch as error:
        reasons = [str(error)]
    else:
        reasons = [
            each.reason for each in validate_events(entries, received_at=NOW, visitor_id=None).rejected
        ]
    assert all(reasons)


@given(st.lists(st.binary(min_size=1, max_size=40) | nearly_events, max_size=3))
def test_any_entry_is_accepted_or_refused_with_a_reason(raws: list[bytes]) -> None:
    verdict = validate_events([msgspec.Raw(raw) for raw in raws], received_at=NOW, visitor_id=None)
    assert len(verdict.accepted) + len(verdict.rejected) == len(raws)
    for event in verdict.accepted:
        assert events.decode(events.encode(event)) == event
    for refused in verdict.rejected:
        assert refused.raw == raws[refused.index]
        assert 0 < len(refused.reason.encode()) <= 4 * REASON_MAX


@given(st.lists(st.booleans(), max_size=20))
def test_one_bad_event_takes_none_with_it(good: list[bool]) -> None:
    entries = [entry(VIEW if each else {}) for each in good]
    verdict = validate_events(entries, received_at=NOW, visitor_id=None)
    assert len(verdict.accepted) == sum(good)
    assert [refused.index for refused in verdict.rejected] == [n for n, each in enumerate(good) if not each]


def test_a_null_says_nothing_where_serializers_write_them_for_what_is_not_there() -> None:
    said = VIEW | dict.fromkeys(set(events.Event.__struct_fields__) - set(VIEW))
    [event] = validate_events([entry(said)], received_at=NOW, visitor_id=None).accepted
    [same] = validate_events([entry(VIEW)], received_at=NOW, visitor_id=None).accepted
    assert (event, event.items) == (same, ())
    boot = BOOT | dict.fromkeys(set(products.Product.__struct_fields__) - set(BOOT))
    [product] = validate_products([entry(boot)], received_at=NOW).accepted
    assert [product] == validate_products([entry(BOOT)], received_at=NOW).accepted
    assert "missing required field `type`" in reason(VIEW | {"type": None})
    assert "$.items[0]" in reason(VIEW | {"items": [None]})


def test_a_currency_may_be_in_small_letters_and_with_spaces() -> None:
    order = VIEW | {"type": "purchase", "value": 5}
    verdict = validate_events(
        [entry(order | {"currency": each}) for each in ("eur", " EUR ", "euro", 978)],
        received_at=NOW,
        visitor_id=None,
    )
    assert [each.currency for each in verdict.accepted] == ["EUR", "EUR"]
    assert ["$.currency" in each.reason for each in verdict.rejected] == [True, True]
    [boot] = validate_products([entry(BOOT | {"currency": "eur"})], received_at=NOW).accepted
    assert boot.currency == "EUR"


def test_an_order_is_one_event_whatever_it_is_called() -> None:
    order = VIEW | {"type": "purchase", "order_id": "o-1"}
    told = [entry(order | {"event_id": f"{number:026}"}) for number in range(3)]
    verdict = validate_events(told, received_at=NOW, visitor_id=None)
    assert {each.event_id for each in verdict.accepted} == {events.id_of_order("purchase", "o-1")}
    for other in ({"order_id": None}, {"order_id": " Undefined "}, {"type": "add_to_cart"}):
        [event] = validate_events([entry(order | other)], received_at=NOW, visitor_id=None).accepted
        assert event.event_id == ID
    assert "a refund is no purchase" in reason(order | {"value": -0.01})


def test_an_order_on_the_topic_has_its_id_though_nobody_has_given_it() -> None:
    order = msgspec.json.encode(VIEW | {"type": "purchase", "order_id": "o-1"})  # by another producer
    for decode in (events.decode, history_events.decode):
        assert decode(order).event_id == events.id_of_order("purchase", "o-1")
    assert events.decode(msgspec.json.encode(VIEW | {"order_id": "o-1"})).event_id == ID


# By tracker.js of before `order_id`, which made ids of GA4's transaction_id: shops have copies of it.
ORDERS = {
    "T-1042": "710PYS9MBS0529JMGT33Z5PBVN",
    "1": "7BWEHZ4ATTPWSE4H745AGR3NEN",
    "Überbestellung №7": "73F3A2240QJY5MP186NHVH6ZB4",
    "x" * 256: "79VHV2GJGEGTZR2924X3F3RHP5",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_id_of_an_order_never_changes(order: str) -> None:
    assert events.id_of_order("purchase", order) == ORDERS[order]


def test_other_orders_have_other_ids() -> None:
    ids = {events.id_of_order("purchase", f"T-{number}") for number in range(20_000)}
    assert len(ids) == 20_000
    assert len({each[1:6] for each in ids}) > 19_900  # every part tells them apart


def test_bottomless_nesting_is_unreadable_where_it_does_not_end_and_else_one_bad_entry() -> None:
    with pytest.raises(UnreadableBatch, match="recursion"):
        split_events(b'{"events":[' + b"[" * 100_000)
    entries = split_events(b'{"events":[' + b"[" * 100_000 + b"]" * 100_000 + b",1]}")
    verdict = validate_events(entries, received_at=NOW, visitor_id=None)
    assert [each.stage for each in verdict.rejected] == ["size", "validate"]


def test_nesting_within_one_event_is_refused() -> None:
    deep = msgspec.json.encode(VIEW)[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    verdict = validate_events([msgspec.Raw(deep), entry(VIEW)], received_at=NOW, visitor_id=None)
    assert (len(verdict.accepted), verdict.rejected[0].stage) == (1, "decode")


def test_the_reason_names_the_field() -> None:
    assert "$.items[1].product_id" in reason(VIEW | {"items": [{"product_id": "a"}, {"product_id": ""}]})


def test_what_makes_no_sense_is_refused() -> None:
    assert "needs a product_id" in reason({k: v for k, v in VIEW.items() if k != "product_id"})
    assert "needs a query" in reason(VIEW | {"type": "search"})


@pytest.mark.parametrize("field", ["event_id", "visitor_id"])
def test_ids_end_where_they_end(field: str) -> None:
    assert f"$.{field}" in reason(VIEW | {field: f"{VIEW[field]}\n"})


def test_an_event_of_another_visitor_than_the_tokens_is_refused() -> None:
    assert "another visitor" in reason(VIEW, visitor_id="v2")


def test_an_event_over_the_limit_is_refused_by_its_size() -> None:
    assert str(MAX_EVENT_BYTES) in reason(VIEW | {"context": {"page": "x" * MAX_EVENT_BYTES}})


def test_a_reason_does_not_repeat_a_long_input() -> None:
    assert len(reason(VIEW | {"type": "x" * 20_000})) == REASON_MAX


@pytest.mark.parametrize(
    ("ahead", "kept"),
    [(0, True), (MAX_CLOCK_AHEAD_MS, True), (MAX_CLOCK_AHEAD_MS + 1, False), (-(10**11), True)],
)
def test_the_servers_time_is_stamped_and_a_clock_too_far_ahead_set_back(ahead: int, kept: bool) -> None:
    sent = entry(VIEW | {"occurred_at": NOW + ahead, "received_at": 5})
    event = validate_events([sent], received_at=NOW, visitor_id="v1").accepted[0]
    assert event.received_at == NOW
    assert event.occurred_at == (NOW + ahead if kept else NOW)


def test_products_are_judged_one_by_one() -> None:
    wrong: dict[str, Any] = BOOT | {"price": -1}
    verdict = validate_products([entry(BOOT), entry(wrong)], received_at=NOW)
    assert [product.product_id for product in verdict.accepted] == ["p1"]
    assert "$.price" in verdict.rejected[0].reason


def test_a_product_must_fit_into_a_message() -> None:
    picture = BOOT | {"image_url": "data:image/png;base64," + "A" * products.MAX_PRODUCT_BYTES}
    assert validate_products([entry(picture)], received_at=NOW).rejected[0].stage == "size"


@pytest.mark.parametrize(("ahead", "kept"), [(MAX_CLOCK_AHEAD_MS, True), (MAX_CLOCK_AHEAD_MS + 1, False)])
def test_a_product_of_2099_is_of_now_so_that_it_can_be_changed_again(ahead: int, kept: bool) -> None:
    verdict = validate_products([entry(BOOT | {"updated_at": NOW + ahead})], received_at=NOW)
    assert verdict.accepted[0].updated_at == (NOW + ahead if kept else NOW)


def test_seconds_are_refused_by_name() -> None:
    assert "looks like seconds" in reason(VIEW | {"occurred_at": NOW // 1000})
    told = validate_products([entry(BOOT | {"updated_at": NOW // 1000})], received_at=NOW).rejected[0].reason
    assert told.startswith("updated_at: 1732406400 looks like seconds and would be 1970-01-21")


def test_places_are_those_of_the_accepted() -> None:
    verdict = validate_products([entry({}), entry(BOOT), entry({}), entry(BOOT)], received_at=NOW)
    assert verdict.places == [1, 3]
