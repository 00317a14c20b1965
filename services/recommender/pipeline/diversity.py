"""From candidates to a row: interests interleaved, products unlike each other, brands mixed. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.model.compiled import compile_code
from services.model.session_index import Floats
from services.product_numbers import Ints
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.merchandising import apply_boosts

SPARE: Final = 4  # candidates beyond a list's share, for brands that are full and products found twice


@dataclass(frozen=True, slots=True)
class RankedProduct:
    """A product of the row: its score, and which list of candidates it came from."""

    product_id: str
    number: int
    score: float
    origin: int


@dataclass(frozen=True, slots=True)
class RowLimits:
    """What a row must look like: its length, how unlike its products, how many of a brand."""

    k: int
    diversity: float
    brand_max: int


class CandidateTraits(NamedTuple):
    """What products are compared by, list after list: (n,) brands, −1 for none, and content vectors.

    Candidate i has the vector `rows[places[i]]`, −1 for none; a dot product of two times `scale` is their
    likeness, 1 for the same.
    """

    brands: Ints
    rows: npt.NDArray[Any]
    places: Ints
    scale: float


def interleave(
    candidates: Sequence[CandidateList],
    weights: Sequence[float],
    traits: CandidateTraits,
    limits: RowLimits,
    *,
    factors: Floats | None = None,
    is_soft: bool = False,
) -> list[tuple[int, int]]:
    """At most k distinct products: the place of each among all candidates, list after list, and its list.

    `factors` are what the shop's rules make of each candidate's relevance; None where there are no rules.
    `is_soft`: a list that has nothing else left gives more of a brand than is allowed.

    Lists take turns in proportion to their weights (Sainte-Laguë's divisors 1, 3, 5, …: the list with the
    highest weight per place gets the next). Within a list the next is the one of greatest marginal relevance
    (Carbonell and Goldstein 1998): λ · score − (1 − λ) · greatest similarity to what is in the row.
    """
    if not candidates:
        return []
    ends = np.cumsum([len(found.numbers) for found in candidates])
    scores = _scale(np.concatenate([found.scores for found in candidates]))
    if factors is not None:
        for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False):
            scores[begin:end] = apply_boosts(scores[begin:end], factors[begin:end])
    places, origins = _interleave(
        np.concatenate([found.numbers for found in candidates]),
        ends,
        np.array(weights, dtype=np.float64),
        ((1 - limits.diversity) * scores).astype(np.float32, copy=False),  # some lists' scores are doubles
        traits.brands,
        traits.rows,
        traits.places,
        limits.diversity * traits.scale,
        limits.k,
        limits.brand_max,
        is_soft,
    )
    return list(zip(places.tolist(), origins.tolist(), strict=True))


@compile_code(is_entry=True)
def _interleave(
    products: Ints,
    ends: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    relevance: Floats,
    brands: Ints,
    rows: npt.NDArray[Any],
    vector_of: Ints,
    scale: float,
    k: int,
    brand_max: int,
    is_soft: bool,
) -> tuple[Ints, Ints]:
    count, lists = len(products), len(ends)
    places, origins = np.empty(k, np.int32), np.empty(k, np.int32)
    nearest = np.zeros(count, np.float32)
    is_open, is_held = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    taken, is_uncapped = np.zeros(lists, np.int32), np.zeros(lists, np.bool_)
    is_left = np.array([ends[nth] > (ends[nth - 1] if nth else 0) for nth in range(lists)])
    chosen = 0
    while chosen < k and is_left.any():
        origin = _next_origin(weights, taken, is_left)
        begin, end = ends[origin - 1] if origin else 0, ends[origin]
        best = -1
        for place in range(begin, end):
            if is_open[place] and (
                best < 0 or relevance[place] - nearest[place] > relevance[best] - nearest[best]
            ):
                best = place
        if best < 0:
            if not is_soft or is_uncapped[origin]:
                is_left[origin] = False  # it has nothing more to give
            is_uncapped[origin] = True
            for place in range(begin, end):
                is_open[place] |= is_held[place]
            continue
        brand, of_brand = brands[best], 0
        for nth in range(chosen):
            of_brand += brands[places[nth]] == brand
        is_full = brand >= 0 and of_brand >= brand_max and not is_uncapped[origin]
        for place in range(count):  # the same product may stand in several lists
            if products[place] == products[best]:
                is_open[place], is_held[place] = False, is_full
        if is_full:
            continue
        taken[origin] += 1
        places[chosen], origins[chosen] = best, origin
        chosen += 1
        for place in range(count):
            if is_open[place] or is_held[place]:
                likeness = scale * _likeness(rows, vector_of[place], vector_of[best])
                nearest[place] = max(nearest[place], likeness)
    return places[:chosen], origins[:chosen]


@compile_code(fastmath=True)
def _likeness(rows: npt.NDArray[Any], one: int, other: int) -> float:
    total = np.float32(0)
    if one >= 0 and other >= 0:
        for at in range(rows.shape[1]):
            total += np.float32(rows[one, at]) * np.float32(rows[other, at])
    return float(total)


@compile_code()
def _next_origin(weights: npt.NDArray[np.float64], taken: Ints, is_left: npt.NDArray[np.bool_]) -> int:
    """The list with the highest weight per place among those left; of equals the first."""
    found, most = -1, 0.0
    for nth in range(len(weights)):
        share = weights[nth] / (2 * taken[nth] + 1)
        if is_left[nth] and (found < 0 or share > most):
            found, most = nth, share
    return found


def in_order(found: CandidateList, k: int, factors: Floats | None) -> list[tuple[int, int]]:
    """The same of one list that is ordered already, but for what the shop's rules make of it."""
    order: Iterable[int] = range(len(found.numbers))
    if factors is not None:
        places = np.linspace(1, 0, len(found.numbers), endpoint=False, dtype=np.float32)
        order = np.argsort(-apply_boosts(places, factors), kind="stable").tolist()
    return [(place, 0) for place in [*order][:k]]


def quotas(weights: Sequence[float], k: int) -> list[int]:
    """Of each list, how many its weight can bring into a row, twice over: ranking need not look at the rest.

    Twice, so that diversity has something to choose from.
    """
    total = sum(weights) or 1.0
    return [ceil(2 * k * weight / total) + SPARE for weight in weights]


def _scale(scores: Floats) -> Floats:
    """Scores as shares of the best, from 0 on: so they weigh against a cosine."""
    scores = scores - min(float(scores.min(initial=0.0)), 0.0)
    best = float(scores.max(initial=0.0))
    return scores / np.float32(best) if best > 0 else scores
