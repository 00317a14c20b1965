"""What was shown and never clicked gives way by half each time, and comes back in days."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import Session, ShownProduct, pack_shown, purchase_digest
from services.recommender.pipeline.fatigue import RECOVERY_S, fade, find_faded
from tests.support.pipeline import PipelineShop, ids

NOW_S = 1_000_000_000
TIMES = st.integers(0, 16)


def show(times: int, at: int = NOW_S) -> ShownProduct:
    return ShownProduct(at, 2**times - 1)


def test_the_third_time_halves_and_each_further_time_too() -> None:
    assert [fade(show(times), NOW_S) for times in range(6)] == [1, 1, 1, 0.5, 0.25, 0.125]


def test_half_of_it_is_forgotten_in_three_days() -> None:
    assert fade(show(4), NOW_S + RECOVERY_S) == pytest.approx(0.5)
    assert fade(show(4), NOW_S + 10 * RECOVERY_S) == pytest.approx(1, abs=0.01)


@given(TIMES, TIMES, st.floats(-1e6, 1e8), st.floats(0, 1e8))
def test_the_more_often_and_the_later_the_less(one: int, other: int, age: float, later: float) -> None:
    few, many = sorted((one, other))
    assert 0 < fade(show(many), NOW_S + age) <= fade(show(few), NOW_S + age) <= 1
    assert fade(show(one), NOW_S + age) <= fade(show(one), NOW_S + age + later)


def with_shown(session: Session, **times: int) -> Session:
    found = {purchase_digest(product_id): show(count) for product_id, count in times.items()}
    return msgspec.structs.replace(session, shown=pack_shown(found))


async def test_products_shown_often_fall_behind_in_the_visitor_s_and_the_popular_row(
    model_shop: PipelineShop,
) -> None:
    model_shop.now = 1000.0 * NOW_S
    seen = model_shop.session("p5")
    popular = ids(await model_shop.ask("popular", 6, session=seen))
    assert popular[0] == "p0"
    tired = ids(await model_shop.ask("popular", 6, session=with_shown(seen, p0=8, p1=2)))
    assert tired[0] == "p1"
    assert "p0" not in tired
    for_you = ids(await model_shop.for_you(seen, 6))
    tired = ids(await model_shop.for_you(with_shown(seen, **{for_you[0]: 9}), 6))
    assert for_you[0] not in tired[:3]
    later = 1000.0 * (NOW_S + 30 * RECOVERY_S)
    model_shop.now = later
    assert ids(await model_shop.for_you(with_shown(seen, **{for_you[0]: 9}), 6)) == for_you


async def test_what_was_clicked_and_rows_about_products_do_not_fade(model_shop: PipelineShop) -> None:
    model_shop.now = 1000.0 * NOW_S
    session = with_shown(model_shop.session("p0"), p0=9)
    assert ids(await model_shop.ask("popular", 1, session=session)) == ["p0"]
    seen = model_shop.session("p5")
    before = ids(await model_shop.ask("similar", 6, session=seen, product_id="p0"))
    tired = with_shown(seen, **{before[0]: 9})
    assert ids(await model_shop.ask("similar", 6, session=tired, product_id="p0")) == before


def test_nothing_shown_costs_no_look_up() -> None:
    def nobody(_: object) -> frozenset[str]:
        raise AssertionError("nothing is to be looked up")

    for session in (None, Session("v"), with_shown(Session("v"), p0=2)):
        assert find_faded(session, nobody, lambda _product_id: 0, NOW_S) is None
