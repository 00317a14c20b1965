"""What the days came to: a figure for each ranking with its interval, the shoppers being drawn anew."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from infra.simulation.shoppers import Floats
from infra.simulation.visits import Visit

DRAWS: Final = 2_000
CONFIDENCE: Final = 0.95
SEED: Final = 20_260_105


class Interval(msgspec.Struct, frozen=True):
    """A figure, and where it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float


class RankingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One ranking. `coverage` is the share of the catalogue that anybody is shown on a day, the mean of days.

    `regret` is how much likelier the best possible row is to be clicked than the row that was shown, the mean
    of rows; `clicks_above` is how many more clicks a visit than the ranking that it is compared with.
    """

    name: str
    visits: int
    rows: int
    clicks: Interval
    purchases: Interval
    coverage: Interval
    regret: Interval
    clicks_by_day: tuple[float, ...]
    clicks_above: Interval | None = None


class SimulationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, and what it was made with. `compared_with` names the ranking of `clicks_above`."""

    days: int
    shoppers: int
    products: int
    seed: int
    compared_with: str
    rankings: tuple[RankingFigures, ...]


def summarise(
    days: Mapping[str, Sequence[Sequence[Visit]]], shoppers: int, products: int, compared_with: str
) -> tuple[RankingFigures, ...]:
    """Of each ranking's visits, day by day. The same shoppers are drawn for all rankings."""
    drawn = np.random.default_rng(SEED).multinomial(shoppers, np.full(shoppers, 1 / shoppers), DRAWS)
    sums = {name: _Sums(each, shoppers, products) for name, each in days.items()}
    base = sums[compared_with]
    return tuple(
        each.describe(name, drawn.astype(np.float64), None if each is base else base)
        for name, each in sums.items()
    )


class _Sums:
    """By shopper, each (shoppers,)."""

    def __init__(self, days: Sequence[Sequence[Visit]], shoppers: int, products: int) -> None:
        visits = [visit for day in days for visit in day]
        whose = np.array([visit.shopper for visit in visits], dtype=np.int64)

        def of(values: Sequence[float]) -> Floats:
            found = np.bincount(whose, np.asarray(values, dtype=np.float64), shoppers)
            return found.astype(np.float64)

        self._visits = of([1.0] * len(visits))
        self._rows = of([len(visit.chances) for visit in visits])
        self._clicks = of([visit.clicks for visit in visits])
        self._purchases = of([visit.purchases for visit in visits])
        self._regrets = of([sum(visit.best) - sum(visit.chances) for visit in visits])
        self._by_day = tuple(sum(visit.clicks for visit in day) / max(len(day), 1) for day in days)
        self._coverage = np.array(
            [len(set().union(*(visit.shown for visit in day))) / products for day in days]
        )

    def describe(self, name: str, drawn: Floats, base: "_Sums | None") -> RankingFigures:
        above = None
        if base is not None:
            difference = self._ratios(self._clicks, drawn) - base._ratios(base._clicks, drawn)
            value = self._ratio(self._clicks) - base._ratio(base._clicks)
            above = _interval(value, difference)
        spread = self._coverage.std(ddof=1) / np.sqrt(len(self._coverage)) if len(self._coverage) > 1 else 0.0
        coverage = float(self._coverage.mean())
        return RankingFigures(
            name=name,
            visits=int(self._visits.sum()),
            rows=int(self._rows.sum()),
            clicks=_interval(self._ratio(self._clicks), self._ratios(self._clicks, drawn)),
            purchases=_interval(self._ratio(self._purchases), self._ratios(self._purchases, drawn)),
            coverage=Interval(*(round(float(coverage + sign * 1.96 * spread), 4) for sign in (0, -1, 1))),
            regret=_interval(
                float(self._regrets.sum() / self._rows.sum()), drawn @ self._regrets / (drawn @ self._rows)
            ),
            clicks_by_day=tuple(round(each, 4) for each in self._by_day),
            clicks_above=above,
        )

    def _ratio(self, column: Floats) -> float:
        return float(column.sum() / self._visits.sum())

    def _ratios(self, column: Floats, drawn: Floats) -> Floats:
        return np.asarray(drawn @ column / (drawn @ self._visits))


def _interval(value: float, draws: Floats) -> Interval:
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Interval(round(float(value), 4), round(low, 4), round(high, 4))
