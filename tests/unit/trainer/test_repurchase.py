"""From purchases to how often, and how soon, a type of product is bought again."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import DAY_MS
from services.archive.history_events import HistoryEvent
from services.model.repurchase import CONSUMABLE_RATE, DEFAULT, Repeats
from services.trainer.repurchase import BUYERS_MIN, ProductKind, learn_repeats
from services.trainer.topic_history import EventColumns, GrowingColumns

KINDS = {
    "lamp": ProductKind("Lamp", "Home"),
    "beans": ProductKind("Coffee", "Food"),
    "tea": ProductKind("Tea", "Food"),
}
START = 1_700_000_000_000
Bought = tuple[int, str, float]  # visitor, product, day


def columns(bought: Sequence[Bought]) -> EventColumns:
    found = GrowingColumns({"purchase", "view_item"})
    found.extend(
        HistoryEvent(
            event_id=f"{abs(hash(each)) % 10**26:026d}",
            type="purchase",
            visitor_id=f"v{visitor}",
            occurred_at=START + int(day * DAY_MS),
            product_id=product,
        )
        for each in bought
        for visitor, product, day in [each]
    )
    return found.columns()


def history() -> list[Bought]:
    """Everyone buys a lamp once, two in three buy coffee each fortnight, and a few buy tea."""
    bought: list[Bought] = [(visitor, "lamp", visitor % 7) for visitor in range(60)]
    bought += [(visitor, "beans", visitor % 7 + 14 * time) for visitor in range(40) for time in range(6)]
    bought += [(visitor, "beans", visitor % 7) for visitor in range(40, 60)]
    return [*bought, *((visitor, "tea", 3.0) for visitor in range(5))]


def test_a_consumable_is_told_from_a_durable() -> None:
    repeats = learn_repeats(columns(history()), KINDS)
    coffee, lamp = repeats.of("Coffee"), repeats.of("Lamp")
    assert coffee.buyers == lamp.buyers == 60
    assert coffee.rate == pytest.approx((40 + 1) / 80, abs=1e-3)
    assert coffee.interval_days == pytest.approx(14, abs=0.2)
    assert lamp.rate < DEFAULT.rate
    assert repeats.of("Tea", "Food") == repeats.of(None, "Food")  # too few buyers: by its category
    assert repeats.of("Tea", "Food").rate > CONSUMABLE_RATE
    assert repeats.of("Tea") == repeats.of("Unknown", "Nowhere") == DEFAULT


def test_who_bought_yesterday_has_had_no_time_to_come_back() -> None:
    late: list[Bought] = [(visitor, "beans", 69.0) for visitor in range(100, 400)]
    assert learn_repeats(columns([*history(), *late]), KINDS).of("Coffee").rate > CONSUMABLE_RATE


def test_several_on_one_day_are_one_purchase() -> None:
    pairs: list[Bought] = [(visitor, "lamp", day) for visitor in range(60) for day in (0, 0.2)]
    end: list[Bought] = [(99, "beans", 90.0)]
    assert learn_repeats(columns([*pairs, *end]), KINDS).of("Lamp").rate < DEFAULT.rate


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([*KINDS, "unknown"]), st.floats(0, 400))).flatmap(
        lambda bought: st.tuples(st.just(bought), st.permutations(bought + bought[:3]))
    )
)
def test_order_and_repetition_change_nothing(both: tuple[list[Bought], list[Bought]]) -> None:
    one, other = (learn_repeats(columns(bought), KINDS) for bought in both)
    assert one == other
    for repeat in (*one.types.values(), *one.categories.values()):
        assert 0 <= repeat.rate <= 1
        assert repeat.interval_days > 0
        assert repeat.buyers >= BUYERS_MIN


def test_without_purchases_there_is_the_default() -> None:
    assert learn_repeats(columns([]), KINDS) == Repeats()
