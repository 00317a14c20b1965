"""From candidates to a row: interests interleaved, products unlike each other, brands mixed. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.recommender.vector_index import Hit

Similarity = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A product of the row: its score, and which list of candidates it came from."""

    product_id: str
    score: float
    origin: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What a row must look like: its length, how unlike its products, how many of a brand."""

    k: int
    diversity: float
    brand_max: int


def row(
    candidates: Sequence[Sequence[Hit]],
    weights: Sequence[float],
    vectors: npt.NDArray[np.float32],
    brands: Mapping[str, str | None],
    rules: Rules,
) -> list[Chosen]:
    """At most k distinct products. `vectors` are unit rows of the candidates, list after list.

    Lists take turns in proportion to their weights (Sainte-Laguë's divisors 1, 3, 5, …: the list with the
    highest weight per place gets the next). Within a list the next is the one of greatest marginal relevance
    (Carbonell and Goldstein 1998): λ · score − (1 − λ) · greatest similarity to what is in the row.
    """
    hits = [hit for found in candidates for hit in found]
    lists = _masks([len(found) for found in candidates])
    products = _numbered([hit.product_id for hit in hits])  # the same product may stand in several lists
    relevance = (1 - rules.diversity) * _scaled([hit.score for hit in hits])
    similarity: Similarity = rules.diversity * (vectors @ vectors.T)
    nearest = np.zeros(len(hits), dtype=np.float32)
    open_ = np.ones(len(hits), dtype=np.bool_)
    taken, brand_count = [0] * len(candidates), Counter[str]()
    chosen: list[Chosen] = []
    while len(chosen) < rules.k:
        origin = _next_origin(weights, taken, [bool((open_ & mask).any()) for mask in lists])
        if origin is None:
            break
        index = int(np.argmax(np.where(open_ & lists[origin], relevance - nearest, -np.inf)))
        hit = hits[index]
        open_ &= products != products[index]
        brand = brands.get(hit.product_id)
        if brand is not None and brand_count[brand] >= rules.brand_max:
            continue
        brand_count[brand or ""] += 1
        taken[origin] += 1
        np.maximum(nearest, similarity[index], out=nearest)
        chosen.append(Chosen(hit.product_id, hit.score, origin))
    return chosen


def _masks(lengths: Sequence[int]) -> list[Mask]:
    """For each list, which of all candidates are in it."""
    origins = np.repeat(np.arange(len(lengths)), lengths)
    return [origins == origin for origin in range(len(lengths))]


def _numbered(names: Sequence[str]) -> npt.NDArray[np.intp]:
    """A number for each name, the same for the same."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def _scaled(scores: Sequence[float]) -> npt.NDArray[np.float32]:
    """Scores as shares of the best, so that they weigh against a cosine."""
    array = np.array(scores, dtype=np.float32)
    best = float(array.max(initial=0.0))
    return array / best if best > 0 else array


def _next_origin(weights: Sequence[float], taken: Sequence[int], left: Sequence[bool]) -> int | None:
    """The list with the highest weight per place among those with something left; of equals the first."""
    origins = [origin for origin, has_some in enumerate(left) if has_some]
    return max(origins, key=lambda origin: weights[origin] / (2 * taken[origin] + 1), default=None)
