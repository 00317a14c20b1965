"""From candidates to a row: interests interleaved, products unlike each other, brands mixed. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.recommender.vector_index import Hit

Similarity = npt.NDArray[np.float32]


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
    hits = [(hit, origin) for origin, found in enumerate(candidates) for hit in found]
    relevance = _scaled([hit.score for hit, _ in hits])
    origins = np.array([origin for _, origin in hits], dtype=np.intp)
    open_ = np.ones(len(hits), dtype=np.bool_)
    nearest = np.zeros(len(hits), dtype=np.float32)
    similarity: Similarity = vectors @ vectors.T
    taken, brand_count = [0] * len(candidates), Counter[str]()
    chosen: list[Chosen] = []
    while len(chosen) < rules.k:
        origin = _next_origin(weights, taken, open_, origins)
        if origin is None:
            break
        marginal = (1 - rules.diversity) * relevance - rules.diversity * nearest
        index = int(np.argmax(np.where(open_ & (origins == origin), marginal, -np.inf)))
        hit = hits[index][0]
        # The same product may stand in several lists.
        open_ &= np.fromiter((other.product_id != hit.product_id for other, _ in hits), np.bool_, len(hits))
        brand = brands.get(hit.product_id)
        if brand is not None and brand_count[brand] >= rules.brand_max:
            continue
        brand_count[brand or ""] += 1
        taken[origin] += 1
        nearest = np.maximum(nearest, similarity[index])
        chosen.append(Chosen(hit.product_id, hit.score, origin))
    return chosen


def _scaled(scores: Sequence[float]) -> npt.NDArray[np.float32]:
    """Scores as shares of the best, so that they weigh against a cosine."""
    array = np.array(scores, dtype=np.float32)
    best = float(array.max(initial=0.0))
    return array / best if best > 0 else array


def _next_origin(
    weights: Sequence[float],
    taken: Sequence[int],
    open_: npt.NDArray[np.bool_],
    origins: npt.NDArray[np.intp],
) -> int | None:
    left = {int(origin) for origin in origins[open_]}
    return max(left, key=lambda origin: (weights[origin] / (2 * taken[origin] + 1), -origin), default=None)
