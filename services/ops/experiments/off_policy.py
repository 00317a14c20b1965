"""What rows would have brought in another order, from the places whose product chance had a say in. Pure.

A place of such a row shows the product that the ranking put there or, in a small share, another that was
ranked near. With each its propensity was recorded, the probability of standing there. A click counts
1/propensity (Horvitz and Thompson, 1952; by places, as Li et al., KDD 2018). Then

- a row of the ranking alone brings the clicks on what the ranking has placed: an unbiased estimate;
- a lower place brings so many clicks with the ranking's product, and so many with any other that was near:
  both self-normalised (Swaminathan and Joachims, NeurIPS 2015). Where they are alike, the order below the
  third place does nothing.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.ops.experiments.sums import Floats, Sums

Longs = npt.NDArray[np.int64]
Persons = npt.NDArray[np.bool_]

# Clicks on what chance put there, and the weights of all: of the whole row, of places by rank and by chance.
Clicks = tuple[float, float, float, float]

OWN_LEAST: Final = 0.5  # a propensity above it is that of the ranking's own product: shares are below a half


@dataclass(frozen=True, slots=True, eq=False)
class ExploredPlaces:
    """One row a person, each column (n,); of rows in which chance had a say.

    `places` are those that chance could have filled, `moved` those that it did. `ranked_clicks` are a row's,
    weighed as if the ranking stood alone. Of places with the ranking's product, and with any other, `own_…`
    and `moved_…` are the weights 1/propensity, and those of places that were clicked.
    """

    rows: Longs
    places: Longs
    moved: Longs
    moved_clicks: Longs
    ranked_clicks: Floats
    own_weights: Floats
    own_click_weights: Floats
    moved_weights: Floats
    moved_click_weights: Floats

    def whole_rows(self, who: Persons) -> Sums:
        """Clicks a row."""
        return Sums(self.ranked_clicks[who], self.rows[who].astype(float))

    def places_by_rank(self, who: Persons) -> Sums:
        """Clicks a lower place that shows what was ranked there."""
        return Sums(self.own_click_weights[who], self.own_weights[who])

    def places_by_chance(self, who: Persons) -> Sums:
        """Clicks a lower place that shows another product."""
        return Sums(self.moved_click_weights[who], self.moved_weights[who])


class Explorations:
    """Takes the propensities of rows, place by place. Keeps 10 bytes a row, and what was clicked."""

    def __init__(self) -> None:
        self._places, self._moved = array("B"), array("B")
        self._own_weights, self._moved_weights = array("f"), array("f")
        self._clicks: dict[tuple[int, int], Clicks] = {}  # person and row → of all its clicks

    def add(self, propensities: Sequence[float | None]) -> None:
        """The next row; one without any propensity is a row in which chance had no say."""
        known = [each for each in propensities if each is not None]
        moved = [each for each in known if each <= OWN_LEAST]
        self._places.append(len(known))
        self._moved.append(len(moved))
        self._own_weights.append(sum([1 / each for each in known if each > OWN_LEAST]))
        self._moved_weights.append(sum([1 / each for each in moved]))

    def add_clicks(self, person: int, row: int, propensities: Sequence[float | None]) -> None:
        """The clicked products of a row in which chance had a say."""
        moved, ranked, own, by_chance = map(sum, zip(*map(_weigh, propensities), strict=True))
        self._clicks[person, row] = moved, ranked, own, by_chance

    def columns(self, rows: Longs, whose: Longs, persons: int) -> ExploredPlaces:
        """Of the rows by number, each once, and the persons that they were shown to, both (rows,)."""

        def sum_up(column: "array[Any]") -> Floats:
            values = np.array(column, dtype=np.float64)
            return np.bincount(whose, values[rows], persons).astype(np.float64)

        explored = np.flatnonzero(np.array(self._places, dtype=np.int64)[rows])
        clicks = np.zeros((4, persons))
        for (person, _), clicked in self._clicks.items():
            clicks[:, person] += clicked
        return ExploredPlaces(
            rows=np.bincount(whose[explored], minlength=persons).astype(np.int64),
            places=sum_up(self._places).astype(np.int64),
            moved=sum_up(self._moved).astype(np.int64),
            moved_clicks=clicks[0].astype(np.int64),
            ranked_clicks=clicks[1],
            own_weights=sum_up(self._own_weights),
            own_click_weights=clicks[2],
            moved_weights=sum_up(self._moved_weights),
            moved_click_weights=clicks[3],
        )


def _weigh(propensity: float | None) -> Clicks:
    if propensity is None:
        return 0, 1, 0, 0
    weight = 1 / propensity
    return (0, weight, weight, 0) if propensity > OWN_LEAST else (1, 0, 0, weight)
