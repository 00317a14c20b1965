"""Simulated shoppers: what they do follows from their taste, and tells a better row from a worse one."""

from collections import Counter
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from infra.simulation import picture, table
from infra.simulation.figures import SimulationFigures, summarise
from infra.simulation.shoppers import Assortment, draw_shoppers
from infra.simulation.visits import EXAMINED, PLACES, ShownRow, Visit
from infra.simulation.world import Plan, World
from schemas.events import Event
from storefront.demo.catalogue.generator import made
from storefront.demo.shoppers.complements import GOES_WITH

STOCK = [each.product for each in made(120, 7)]
PLAN = Plan(days=2, shoppers=80, seed=5)


class ByChance:
    """Any products, in any order."""

    name = "by chance"

    def __init__(self, world: World) -> None:
        self.world, self.events, self.nights = world, list[Event](), list[int]()
        self.rows: dict[str, ShownRow] = {}
        self._rng = np.random.default_rng(1)

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        row = ShownRow(f"row {len(self.rows)}", tuple(self.choose(visitor_id)[:k]))
        self.rows[row.recommendation_id] = row
        return row

    def choose(self, visitor_id: str) -> list[str]:
        return [str(each) for each in self._rng.permutation(self.in_stock())]

    def in_stock(self) -> list[str]:
        return [each.product_id for each in STOCK if each.availability == "in_stock"]

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def end_day(self, day: int) -> None:
        self.nights.append(day)


class ByTaste(ByChance):
    """Knows what no ranking can know: the shoppers' own taste, though not what a visit is about."""

    name = "by taste"

    def choose(self, visitor_id: str) -> list[str]:
        shopper = next(each for each in self.world.shoppers if each.name == visitor_id)
        order = np.argsort(-shopper.appeals(shopper.needs[0], 0))
        ranked = [self.world.shop.ids[number] for number in order.tolist()]
        return [each for each in ranked if each in self.in_stock()]


def run(of: type[ByChance], plan: Plan = PLAN) -> tuple[ByChance, list[list[Visit]]]:
    world = World(STOCK, plan)
    ranking = of(world)
    return ranking, [visits for day, visits in world.run(ranking) if day > 0]


@pytest.fixture(scope="module")
def days() -> dict[str, list[list[Visit]]]:
    return {of.name: run(of)[1] for of in (ByChance, ByTaste)}


def test_the_same_seed_makes_the_same_days_and_another_makes_others(
    days: dict[str, list[list[Visit]]],
) -> None:
    ranking, visits = run(ByChance)
    assert visits == days[ByChance.name]
    assert ranking.nights == list(range(-6, 3))
    assert len({event.event_id for event in ranking.events}) == len(ranking.events)
    few = [run(ByChance, Plan(days=1, shoppers=20, seed=seed))[1] for seed in (6, 7)]
    assert few[0] != few[1]


def test_the_same_shoppers_come_whatever_they_are_shown(days: dict[str, list[list[Visit]]]) -> None:
    came = [[(each.shopper, each.day) for day in of for each in day] for of in days.values()]
    assert came[0] == came[1]


def test_a_better_row_brings_more_clicks_and_less_regret(days: dict[str, list[list[Visit]]]) -> None:
    by_chance, by_taste = summarise(days, PLAN.shoppers, len(STOCK), ByChance.name)
    assert by_taste.clicks_above is not None
    assert by_taste.clicks_above.low > 0
    assert by_taste.regret.high < by_chance.regret.low
    assert by_chance.coverage.value > by_taste.coverage.value > 0
    for each in (by_chance, by_taste):
        assert each.clicks.low <= each.clicks.value <= each.clicks.high
        shown = [visit for day in days[each.name] for visit in day]
        pairs = [pair for visit in shown for pair in zip(visit.best, visit.chances, strict=True)]
        assert all(best >= chance - 1e-9 for best, chance in pairs)


class Always(ByChance):
    """The same products in the same order, to everybody."""

    name = "always"

    def choose(self, visitor_id: str) -> list[str]:
        return self.in_stock()


def test_places_are_looked_at_as_often_as_they_should_be() -> None:
    ranking, days = run(Always)
    looks = sum(len(visit.chances) for day in days for visit in day)
    shown = [ranking.world.shop.number[each] for each in ranking.in_stock()[:PLACES]]
    passed = np.sum([shopper.passed[shown] for shopper in ranking.world.shoppers], axis=0)
    clicks = Counter(event.product_id for event in ranking.events if event.type == "select_item")
    looked = passed + [clicks[ranking.world.shop.ids[number]] for number in shown]
    assert (abs(looked / looks - EXAMINED) < 5 * np.sqrt(EXAMINED * (1 - EXAMINED) / looks)).all()


def test_a_purchase_ends_a_need_and_begins_others() -> None:
    shop = Assortment(STOCK, 1)
    shopper, rng = draw_shoppers(shop, 1, 1)[0], np.random.default_rng(1)
    kind = shopper.needs[0]
    before = shopper.appeals(kind, 0)
    shopper.buy(int(np.flatnonzero(shop.kind_of == shop.kinds.index(kind))[0]), 0, rng)
    assert kind not in shopper.needs
    after = shopper.appeals(shopper.needs[0], 1)
    is_kind = shop.kind_of == shop.kinds.index(kind)
    assert (after[is_kind] < before[is_kind] - 3).all()
    partner = max(GOES_WITH[kind], key=lambda each: GOES_WITH[kind][each])
    fits = shop.kind_of == shop.kinds.index(partner)
    assert (after[fits] > before[fits]).all() or partner in shopper.needs
    later = shopper.appeals(shopper.needs[0], 99)
    assert (later[is_kind] > after[is_kind]).all()


def test_foreign_products_are_refused() -> None:
    with pytest.raises(ValueError, match="not the types spaceship"):
        Assortment([msgspec.structs.replace(STOCK[0], type="spaceship")], 1)


def test_the_page_and_the_picture_tell_what_came_out(days: dict[str, list[list[Visit]]]) -> None:
    rankings = summarise(days, PLAN.shoppers, len(STOCK), ByChance.name)
    told = SimulationFigures(
        days=2, shoppers=80, products=120, seed=5, compared_with=ByChance.name, rankings=rankings
    )
    figures = msgspec.to_builtins(told)
    drawn = ElementTree.fromstring(picture.draw(figures))
    assert [each.text for each in drawn.iter() if (each.text or "").startswith("by ")] == [
        "by chance", "by taste",
    ]  # fmt: skip
    page = "\n".join(table.lines({"machine": {"cores": 2}, "seconds": 90, "share": 0.1, "figures": figures}))
    assert page.endswith("beside by chance: more.")
    worse = msgspec.to_builtins(msgspec.structs.replace(told, rankings=rankings[::-1]))
    worse["rankings"][-1]["clicks_above"] = {"value": -0.1, "low": -0.2, "high": -0.01}
    lines = list(table.lines({"machine": {"cores": 2}, "seconds": 90, "share": 0.1, "figures": worse}))
    assert lines[-1].endswith(": fewer.")
