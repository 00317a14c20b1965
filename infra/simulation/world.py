"""The days of a shop, under one ranking at a time. The same shoppers, visits and chance for each ranking."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

import numpy as np

from infra.simulation.shoppers import Assortment, draw_shoppers
from infra.simulation.visits import PLACES, ShownRow, Visit, Visitor
from schemas.events import Event
from schemas.products import Product
from schemas.times import DAY_MS

BEGIN: Final = 1_767_571_200_000  # 2026-01-05, a day after the catalogue was made
VISITS_A_DAY: Final = 0.5  # of a shopper
BEFORE: Final = 7  # days of visits without any row, from which every ranking may learn


class Ranking(Protocol):
    """What makes rows. It is told every event, and when a day is over; days without rows are below 1."""

    name: str

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """The visitor's row of at most k products at a time, Unix ms."""

    def observe(self, event: Event) -> None:
        """Takes what a shopper did."""

    def end_day(self, day: int) -> None:
        """Learns, where it does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is simulated."""

    days: int = 14
    shoppers: int = 1000
    seed: int = 1


class World:
    """One shop and its shoppers, from the first day on."""

    def __init__(self, products: Sequence[Product], plan: Plan) -> None:
        self._plan = plan
        self.shop = Assortment(products, plan.seed)
        self.shoppers = draw_shoppers(self.shop, plan.shoppers, plan.seed)
        self._ids = _event_ids()

    def run(self, ranking: Ranking) -> Iterator[tuple[int, list[Visit]]]:
        """Day by day, and the visits of each; first days without rows, which have no visits to tell of."""
        for day in range(1 - BEFORE, self._plan.days + 1):
            visits = [self._visit(ranking, shopper, day, at) for at, shopper in self._timetable(day)]
            ranking.end_day(day)
            yield day, visits if day > 0 else []

    def _timetable(self, day: int) -> list[tuple[int, int]]:
        """When who comes, in order of time."""
        rng = np.random.default_rng([self._plan.seed, 3, day + BEFORE])
        times = rng.integers(0, DAY_MS, len(self.shoppers))
        comes = rng.random(len(self.shoppers)) < VISITS_A_DAY
        begin = BEGIN + day * DAY_MS
        return sorted((begin + int(times[each]), each) for each in np.flatnonzero(comes).tolist())

    def _visit(self, ranking: Ranking, number: int, day: int, at: int) -> Visit:
        visit = Visit(number, day)
        rng = np.random.default_rng([self._plan.seed, 4, day + BEFORE, number])
        visitor = Visitor(self.shoppers[number], visit, at=at, rng=rng, ids=self._ids, tell=ranking.observe)
        visitor.walk((lambda who, now: ranking.recommend(who, PLACES, now)) if day > 0 else None)
        return visit


def _event_ids() -> Iterator[str]:
    return (f"00000000-0000-4000-8000-{number:012x}" for number in count())
