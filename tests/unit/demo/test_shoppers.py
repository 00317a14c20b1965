"""The demo's simulated shoppers: the same from a seed, plausible, and with something to learn from."""

from collections import Counter
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.products import Product
from schemas.sessions import SESSION_GAP_MS
from schemas.times import DAY_MS
from services.trainer.sessions import Histories
from storefront.demo.catalogue.assortment import KINDS
from storefront.demo.catalogue.generator import made
from storefront.demo.shoppers.complements import GOES_WITH
from storefront.demo.shoppers.learning import histories
from storefront.demo.shoppers.visits import BEGINS, DAYS, Visit, simulated
from tests.support.examples import examples

COUNT = 600
SEED = 7


@cache
def catalogue() -> dict[str, Product]:
    return {each.product.product_id: each.product for each in made(COUNT, SEED)}


@cache
def many() -> tuple[Visit, ...]:
    return tuple(simulated(list(catalogue().values()), 1_000, 11))


def products_viewed(visit: Visit) -> list[Product]:
    return [catalogue()[step.product_id] for step in visit.steps if step.type == "view_item"]


def test_the_same_seed_gives_the_same_visits_and_another_seed_others() -> None:
    products = list(catalogue().values())
    first, again, other = (list(simulated(products, 50, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@examples(20)
@given(count=st.integers(50, 150), visits=st.integers(1, 40), seed=st.integers(0, 1_000))
def test_every_visit_is_one_that_a_page_could_have_sent(count: int, visits: int, seed: int) -> None:
    products = {each.product.product_id: each.product for each in made(count, seed)}
    found = list(simulated(list(products.values()), visits, seed))
    assert len(found) == visits
    for visit in found:
        assert visit.visitor_id.startswith("simulated-")
        assert visit.steps[0].type == "view_item"
        assert BEGINS <= visit.steps[0].at < BEGINS + DAYS * DAY_MS
        assert all(0 < after.at - step.at < SESSION_GAP_MS for step, after in pairwise(visit.steps))
        seen: set[str] = set()
        cart: set[str] = set()
        for step in visit.steps:
            if step.type == "view_item":
                seen.add(step.product_id)
            elif step.type == "add_to_cart":
                assert step.product_id in seen - cart
                cart.add(step.product_id)
            else:  # what is taken out or bought lay in the cart
                assert step.product_id in cart
                cart.remove(step.product_id)


def test_nothing_that_is_sold_out_is_bought() -> None:
    bought = {step.product_id for visit in many() for step in visit.steps if step.type == "purchase"}
    assert bought
    assert all(catalogue()[product_id].availability == "in_stock" for product_id in bought)


def test_every_kind_goes_with_others_and_never_with_itself() -> None:
    kinds = {kind.name for kind in KINDS}
    assert set(GOES_WITH) == kinds
    for kind, others in GOES_WITH.items():
        assert len(others) >= 3
        assert set(others) <= kinds - {kind}
        assert min(others.values()) > 0


def test_what_goes_together_is_seen_together_more_often_than_chance_has_it() -> None:
    together: Counter[bool] = Counter()
    by_chance = 0.0
    of_kind = Counter(product.type for visit in many() for product in products_viewed(visit))
    total = of_kind.total()
    for visit in many():
        for one, other in pairwise(products_viewed(visit)):
            if one.type != other.type:
                fitting = GOES_WITH[one.type or ""]
                together[other.type in fitting] += 1
                by_chance += sum(of_kind[kind] for kind in fitting) / (total - of_kind[one.type])
    assert together[True] > 3 * by_chance
    assert together[False] > 100  # not everybody does what the table says


def test_visits_hold_similar_products_and_products_of_other_types_and_categories() -> None:
    pairs = [pair for visit in many() for pair in pairwise(products_viewed(visit))]
    same_type = sum(one.type == other.type for one, other in pairs) / len(pairs)
    other_top = sum(one.top_category != other.top_category for one, other in pairs) / len(pairs)
    assert 0.35 < same_type < 0.65
    assert 0.08 < other_top < 0.4


def test_few_products_draw_many_and_nearly_all_draw_somebody() -> None:
    views = Counter(product.product_id for visit in many() for product in products_viewed(visit))
    tenth = sum(count for _, count in views.most_common(COUNT // 10))
    assert 0.25 < tenth / views.total() < 0.6
    assert len(views) > 0.9 * COUNT


def test_visits_differ_in_length_and_some_shoppers_come_back() -> None:
    lengths = Counter(len(products_viewed(visit)) for visit in many())
    assert min(lengths) == 1
    assert max(lengths) > 20
    assert max(lengths.values()) < 0.3 * len(many())
    assert 0.4 < len({visit.visitor_id for visit in many()}) / len(many()) < 0.8


def test_a_product_of_another_shop_is_refused() -> None:
    strange = replace(next(iter(catalogue().values())), type="lawn mower")
    with pytest.raises(ValueError, match="lawn mower"):
        next(simulated([strange], 1, 1))
    with pytest.raises(ValueError, match="without products"):
        next(simulated([], 1, 1))


def test_histories_hold_every_event_in_order_of_the_visits_ends() -> None:
    found: Histories = histories(reversed(many()))
    ends = [visit.steps[-1].at for visit in many()]
    assert found.ends.tolist() == sorted(ends)
    assert len(found.times) == sum(len(visit.steps) for visit in many())
    newest = max(many(), key=lambda visit: visit.steps[-1].at)
    assert found.session(found.sessions - 1) == tuple(step.product_id for step in newest.steps)
