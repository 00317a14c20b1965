"""From candidates to a row: interests interleaved, products unlike each other, brands mixed. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
import numpy.typing as npt

from services.recommender.index.port import Hit
from services.recommender.pipeline.merchandising import apply_boosts

Similarity = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SPARE: Final = 4  # candidates beyond a list's share, for brands that are full and products found twice


@dataclass(frozen=True, slots=True)
class RankedProduct:
    """A product of the row: its score, and which list of candidates it came from."""

    product_id: str
    score: float
    origin: int


@dataclass(frozen=True, slots=True)
class RowLimits:
    """What a row must look like: its length, how unlike its products, how many of a brand."""

    k: int
    diversity: float
    brand_max: int


def interleave(
    candidates: Sequence[Sequence[Hit]],
    weights: Sequence[float],
    vectors: npt.NDArray[np.float32],
    brands: Mapping[str, str | None],
    rules: RowLimits,
    *,
    factors: npt.NDArray[np.float32] | None = None,
    is_soft: bool = False,
) -> list[RankedProduct]:
    """At most k distinct products. `vectors` are unit rows of the candidates, list after list.

    `factors` are what the shop's rules make of each candidate's relevance; None where there are no rules.
    `is_soft`: a list that has nothing else left gives more of a brand than is allowed.

    Lists take turns in proportion to their weights (Sainte-Laguë's divisors 1, 3, 5, …: the list with the
    highest weight per place gets the next). Within a list the next is the one of greatest marginal relevance
    (Carbonell and Goldstein 1998): λ · score − (1 − λ) · greatest similarity to what is in the row.
    """
    hits = [hit for found in candidates for hit in found]
    lists = _masks([len(found) for found in candidates])
    products = _number([hit.product_id for hit in hits])  # the same product may stand in several lists
    scores = _scale([hit.score for hit in hits])
    if factors is not None:
        for mask in lists:
            scores[mask] = apply_boosts(scores[mask], factors[mask])
    relevance = (1 - rules.diversity) * scores
    similarity: Similarity = rules.diversity * (vectors @ vectors.T)
    nearest = np.zeros(len(hits), dtype=np.float32)
    open_, held = np.ones(len(hits), dtype=np.bool_), np.zeros(len(hits), dtype=np.bool_)
    taken, brand_count = [0] * len(candidates), Counter[str]()
    left = {origin for origin, found in enumerate(candidates) if found}
    uncapped: set[int] = set()
    chosen: list[RankedProduct] = []
    while len(chosen) < rules.k and left:
        origin = _next_origin(weights, taken, left)
        marginal = np.where(open_ & lists[origin], relevance - nearest, -np.inf)
        index = int(np.argmax(marginal))
        if marginal[index] == -np.inf:
            if not is_soft or origin in uncapped:
                left.discard(origin)  # it has nothing more to give
            uncapped.add(origin)
            open_ |= held & lists[origin]
            continue
        hit = hits[index]
        same = products == products[index]
        open_ &= ~same
        brand = brands.get(hit.product_id)
        if brand is not None and brand_count[brand] >= rules.brand_max and origin not in uncapped:
            held |= same
            continue
        held &= ~same
        brand_count[brand or ""] += 1
        taken[origin] += 1
        np.maximum(nearest, similarity[index], out=nearest)
        chosen.append(RankedProduct(hit.product_id, hit.score, origin))
    return chosen


def in_order(hits: Sequence[Hit], k: int, factors: npt.NDArray[np.float32] | None) -> list[RankedProduct]:
    """At most k products of a list that is ordered already, but for what the shop's rules make of it."""
    order: Iterable[int] = range(len(hits))
    if factors is not None:
        places = np.linspace(1, 0, len(hits), endpoint=False, dtype=np.float32)
        order = np.argsort(-apply_boosts(places, factors), kind="stable").tolist()
    return [RankedProduct(hits[at].product_id, hits[at].score, 0) for at in [*order][:k]]


def quotas(weights: Sequence[float], k: int) -> list[int]:
    """Of each list, how many its weight can bring into a row, twice over: ranking need not look at the rest.

    Twice, so that diversity has something to choose from.
    """
    total = sum(weights) or 1.0
    return [ceil(2 * k * weight / total) + SPARE for weight in weights]


def _masks(lengths: Sequence[int]) -> list[Mask]:
    """For each list, which of all candidates are in it."""
    origins = np.repeat(np.arange(len(lengths)), lengths)
    return [origins == origin for origin in range(len(lengths))]


def _number(names: Sequence[str]) -> npt.NDArray[np.intp]:
    """A number for each name, the same for the same."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def _scale(scores: Sequence[float]) -> npt.NDArray[np.float32]:
    """Scores as shares of the best, from 0 on: so they weigh against a cosine."""
    array = np.array(scores, dtype=np.float32)
    array -= min(float(array.min(initial=0.0)), 0.0)
    best = float(array.max(initial=0.0))
    return array / best if best > 0 else array


def _next_origin(weights: Sequence[float], taken: Sequence[int], left: Iterable[int]) -> int:
    """The list with the highest weight per place among those left; of equals the first."""
    return max(sorted(left), key=lambda origin: weights[origin] / (2 * taken[origin] + 1))
