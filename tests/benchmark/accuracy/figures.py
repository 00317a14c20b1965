"""What `build/bench/accuracy.json` holds. Shares are of 1, times in s, intervals of 95 %."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from schemas.models import Metrics
from services.model import candidates
from services.trainer.training import Parameters
from tests.benchmark.accuracy.published import AIMS, INDEX_AIM_PER_S, PEERS, SERENADE, Pair, Peer
from tests.benchmark.machine import Machine

# The rows of a dataset, in the order in which one builds on the other.
ITEM2VEC: Final = "item2vec alone"
ITEM2VEC_ORDERS: Final = "item2vec orders the candidates"
KNN_ORDERS: Final = "session-kNN alone"
FUSED: Final = "plain rank fusion"
SERVES: Final = "re-ranked: what serves"

# No data set tells of clicks in lists, or of what was waved away: no figure depends on what they weigh.
UNTOLD: Final = frozenset({"select_item", "dismiss_item"})


class Speed(msgspec.Struct, frozen=True):
    """Sessions a second on one core: the index (session-kNN and transitions); a bare numpy session-kNN."""

    index_per_s: float
    numpy_per_s: float
    cases: int


class DatasetFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset: what was learned from, how long that took, how well each row tells the next product."""

    machine: Machine
    sessions: int
    products: int
    learning_s: float
    rows: dict[str, Metrics]
    speed: Speed


class Difference(msgspec.Struct, frozen=True):
    """Of two hit rates on the same cases: the first's less the second's, with its bootstrap interval.

    `gained` cases only the first hits, `lost` only the second. Sessions are drawn, not cases, for those of
    one session stand and fall together.
    """

    difference: float
    low: float
    high: float
    gained: int
    lost: int

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0 <= self.high


class TypesFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Events weighed by their types against all alike; `told_apart` cases have other events than views."""

    machine: Machine
    sessions: int
    products: int
    cases: int
    told_apart: int
    weighed: Metrics
    alike: Metrics
    hit_rate: Difference
    hit_rate_told_apart: Difference


class ColdFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Products whose events were hidden from training, a fifth at a time; hit rates at 20.

    `cold` cases have a hidden product for a target, `warm` ones a product that training knows; by way of
    asking: content alone, the model with contents, the model without.
    """

    machine: Machine
    products: int
    folds: int
    cold_cases: int
    warm_cases: int
    cold_content: float
    cold_model: float
    cold_without: float
    warm_model: float
    warm_without: float
    cold_gain: Difference
    warm_price: Difference


class ObjectiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of beginnings of sessions, ordered for it, and for clicks: HR@20 and MRR@20 of each.

    `lessons` were learned from; without `is_learned` they were too few, and both orders are that for clicks.
    """

    lessons: int
    is_learned: bool
    cases: int
    own: tuple[float, float]
    clicks: tuple[float, float]
    hit_rate: Difference


class ObjectivesFigures(msgspec.Struct, frozen=True, kw_only=True):
    """By shop and objective."""

    machine: Machine
    shops: dict[str, dict[str, ObjectiveFigures]]


class AccuracyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured, and what it is to be held against; a part that was not measured is None."""

    parameters: Mapping[str, object]
    published: tuple[Peer, ...] = PEERS
    published_serenade: Pair = SERENADE
    aims: dict[str, Pair] = msgspec.field(default_factory=lambda: dict(AIMS))
    index_aim_per_s: int = INDEX_AIM_PER_S
    retailrocket: DatasetFigures | None = None
    diginetica: DatasetFigures | None = None
    serenade: DatasetFigures | None = None
    types: TypesFigures | None = None
    cold: ColdFigures | None = None
    objectives: ObjectivesFigures | None = None


def parameters(told: Parameters | None = None) -> dict[str, object]:
    """All settings that the figures depend on but the number of threads."""
    told = told or Parameters()
    return {
        "item2vec": asdict(told.item2vec),
        "lambdarank": asdict(told.lambdarank),
        "newest": told.newest,
        "nearest": told.nearest,
        "rank_share": told.rank_share,
        "type_weights": {
            type_: weight for type_, weight in told.tuning.type_weights.items() if type_ not in UNTOLD
        },
        "half_life_rank": told.tuning.half_life_rank,
        "neighbours": candidates.NEIGHBOURS_MAX,
        "candidates": {
            "session_knn": candidates.FROM_KNN,
            "transitions": candidates.FROM_TRANSITIONS,
            "together": candidates.FROM_TOGETHER,
            "item2vec": candidates.FROM_ITEM2VEC,
        },
    }
