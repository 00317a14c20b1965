"""What can be a moment in a shop, and whose clock is believed how far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events, products, times
from schemas.events import Event
from schemas.products import PriceChange, Product
from schemas.times import DELETED_AT, EARLIEST_MS, MAX_CLOCK_AHEAD_MS

NOW = 1_764_374_400_000
millis = st.integers(-(2**53), 2**53)


@pytest.mark.parametrize("at", [NOW // 1000, 0, -1, -(2**53), EARLIEST_MS - 1, NOW // 10])
def test_what_lies_before_2000_looks_like_seconds(at: int) -> None:
    reason = times.check("occurred_at", at)
    assert reason is not None
    assert reason.startswith(f"occurred_at: {at} looks like seconds")
    assert "expected Unix time in ms" in reason


@pytest.mark.parametrize("at", [EARLIEST_MS, NOW, 4_102_444_800_000])
def test_what_lies_later_does_not(at: int) -> None:
    assert times.check("occurred_at", at) is None


def test_events_and_products_are_held_to_it_by_one_check() -> None:
    view = Event(
        event_id="01JD3Y6Q8W4ZB1N5T2K7M9RXCA",
        type="view_item",
        visitor_id="v",
        occurred_at=NOW // 1000,
        product_id="p",
    )
    boot = Product(
        product_id="p", name="B", price=1, currency="EUR", availability="in_stock", updated_at=NOW // 1000
    )
    assert "looks like seconds" in (events.check(view) or "")
    assert "looks like seconds" in (products.check(boot) or "")


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ((NOW, NOW + 1), None),
        ((), None),
        ((NOW + 1, NOW), "price_changes: are not in order"),
        ((NOW // 1000, NOW), "price_changes: 1764374400 looks like seconds"),
    ],
)
def test_price_changes_are_moments_in_their_order(moments: tuple[int, ...], told: str | None) -> None:
    changes = tuple(PriceChange(at=at, price=5.0) for at in moments)
    boot = Product(
        product_id="p", name="B", price=1, currency="EUR", availability="in_stock", updated_at=NOW,
        price_changes=changes,
    )  # fmt: skip
    found = products.check(boot)
    assert (found or "").startswith(told or "\0") or found is told


@given(millis, millis)
def test_a_clock_is_set_back_where_it_is_too_far_ahead_and_never_put_forward(at: int, known_at: int) -> None:
    found = times.clamp(at, known_at)
    assert found in {at, known_at}
    assert found <= at
    assert times.clamp(found, known_at) == found
    if known_at >= EARLIEST_MS:
        assert found <= known_at + MAX_CLOCK_AHEAD_MS
    else:
        assert found == at  # a message without a time, or of a clock that was never set


@given(st.binary(max_size=30) | st.none() | millis.map(lambda at: str(at).encode()), millis)
def test_any_header_is_a_time_or_says_nothing(told: bytes | None, sent_at: int) -> None:
    found = times.deletion([("other", b"1"), (DELETED_AT, told)], sent_at)
    assert found is None or isinstance(found, int)
    assert times.deletion([], sent_at) is None
