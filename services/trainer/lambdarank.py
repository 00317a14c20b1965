"""The re-ranker's learning: LightGBM's LambdaMART over the candidates of sessions that came later."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt

from schemas.objectives import OBJECTIVES, ObjectiveName
from schemas.sessions import SessionEvent
from services.model.behaviour import Behaviour
from services.model.candidates import FEATURES
from services.model.forest import Trees, score_trees
from services.model.ranker import collect_features
from services.model.session import Tuning
from services.model.session_index import Floats, read_only
from services.progress import Progress
from services.trainer.content import Contents


def flatten(dumped: Mapping[str, Any]) -> Trees:
    """From `Booster.dump_model()`. Raises ValueError for a split that the arrays cannot express."""
    nodes: list[tuple[int, float, int, int]] = []
    roots = [_add(tree["tree_structure"], nodes) for tree in dumped["tree_info"]]
    columns = list(zip(*nodes, strict=True)) if nodes else [(), (), (), ()]
    kinds = (np.int32, np.float32, np.int32, np.int32)
    arrays = [np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)]
    return Trees(*map(read_only, (np.array(roots, dtype=np.int32), *arrays)))


def _add(node: Mapping[str, Any], nodes: list[tuple[int, float, int, int]]) -> int:
    place = len(nodes)
    if "leaf_value" in node:
        nodes.append((-1, float(node["leaf_value"]), 0, 0))
        return place
    if node["decision_type"] != "<=":
        raise ValueError(f"a split by {node['decision_type']}, expected numbers compared by <=")
    nodes.append((0, 0.0, 0, 0))  # its place comes before those of its children
    left, right = _add(node["left_child"], nodes), _add(node["right_child"], nodes)
    nodes[place] = (int(node["split_feature"]), _at_most(node["threshold"]), left, right)
    return place


def _at_most(threshold: float) -> float:
    """The greatest float32 that is not above: features are float32, and go the same way."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if rounded > threshold else rounded)


# Threads that wait for each other by spinning take the cores from everybody else, each other included:
# 8 s became 160 s beside other work. OpenMP looks once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

CASES_MIN: Final = 400  # with fewer, trees learn noise: ranks are fused instead
LESSONS_MIN: Final = 100  # of an objective beside clicks, whose cases keep its trees from learning noise
CASES_PER_TREE: Final = 20  # stopping where a held-out part stops gaining was tried: too noisy a sign


@dataclass(frozen=True, slots=True)
class LambdaRank:
    """LightGBM's parameters (Burges 2010 has the method), and how many cases are learned from."""

    cases: int = 40_000
    rounds: int = 160
    learning_rate: float = 0.07
    leaves: int = 31
    leaf_rows: int = 300
    l2: float = 10.0
    feature_share: float = 0.5
    row_share: float = 0.8
    wrong_share: float = 0.5
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Groups:
    """Candidates of several cases one after another: features, 1 for the target, and the cases' sizes.

    `weights` (cases,) are what each counts, None where all count alike.
    """

    features: Floats
    labels: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.int64]
    weights: Floats | None = None

    def tell(self, objective: ObjectiveName) -> "Groups":
        """The same with one more column, which says what to order for."""
        column = np.full((len(self.features), 1), OBJECTIVES.index(objective), np.float32)
        return replace(self, features=np.hstack([self.features, column]))

    def some(self, most: int) -> "Groups":
        """All cases, or `most` evenly spread."""
        if len(self.sizes) <= most:
            return self
        kept = np.zeros(len(self.sizes), np.bool_)
        kept[np.linspace(0, len(kept) - 1, most).astype(np.int64)] = True
        rows = np.repeat(kept, self.sizes)
        weights = None if self.weights is None else self.weights[kept]
        return Groups(self.features[rows], self.labels[rows], self.sizes[kept], weights)

    def split(self, share: float) -> tuple["Groups", "Groups"]:
        """The first cases, so many of all, and the rest."""
        first = round(len(self.sizes) * share)
        row = int(self.sizes[:first].sum())
        weights = (None, None) if self.weights is None else (self.weights[:first], self.weights[first:])
        return (
            Groups(self.features[:row], self.labels[:row], self.sizes[:first], weights[0]),
            Groups(self.features[row:], self.labels[row:], self.sizes[first:], weights[1]),
        )

    def __add__(self, other: "Groups") -> "Groups":
        """Both, one after another; nothing added changes nothing."""
        if not len(other.sizes):
            return self
        weights = [
            np.ones(len(each.sizes), np.float32) if each.weights is None else each.weights
            for each in (self, other)
        ]
        return Groups(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.sizes, other.sizes]),
            np.concatenate(weights),
        )


def fit_trees(groups: Groups, parameters: LambdaRank, *, threads: int, progress: Progress) -> Trees | None:
    """Trees that order candidates; None where too few cases have their target among them."""
    if len(groups.sizes) < CASES_MIN:
        return None
    rounds = min(parameters.rounds, len(groups.sizes) // CASES_PER_TREE)
    progress.stage("re-ranker", rounds)
    booster = lightgbm.train(
        _options(parameters, len(groups.labels), threads),
        lightgbm.Dataset(
            groups.features,
            groups.labels,
            group=groups.sizes,
            weight=None if groups.weights is None else np.repeat(groups.weights, groups.sizes),
            feature_name=[*FEATURES, "objective"][: groups.features.shape[1]],
        ),
        rounds,
        callbacks=[lambda _env: progress.advance()],
    )
    return flatten(booster.dump_model())


def mean_reciprocal_rank(trees: Trees, groups: Groups) -> float:
    """How high the first right candidate of each case stands on the average: 1 where always first."""
    scores, found = score_trees(trees, groups.features), list[float]()
    for end, size in zip(np.cumsum(groups.sizes).tolist(), groups.sizes.tolist(), strict=True):
        case = slice(end - size, end)
        best = scores[case][groups.labels[case]].max()
        found.append(1 / (1 + int((scores[case] > best).sum())))
    return float(np.mean(found)) if found else 0.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """After these events the `right` products were; others were not.

    Where only some were seen, `seen` are those that are compared, right ones included: what nobody has seen
    is not wrong. `weight` is what the lesson counts beside others.
    """

    events: tuple[SessionEvent, ...]
    right: frozenset[str]
    seen: tuple[str, ...] = ()
    weight: float = 1.0


def gather_groups(
    model: Behaviour,
    lessons: Iterable[Lesson],
    count: int | None,
    parameters: LambdaRank,
    *,
    tuning: Tuning,
    contents: Contents | None,
    progress: Progress,
) -> Groups:
    """What the model brings for sessions that it does not know, and which of it was right.

    `count` is how many lessons come, where that is known. Those whose right products are not among the
    candidates teach nothing. Of the others' wrong candidates a part is drawn at random, which leaves their
    order as it is and learning faster; of what was seen none is left out.
    """
    random = np.random.default_rng(parameters.seed)
    progress.stage("candidates", count)
    features, labels, sizes, weights = [], [], [], []
    for lesson in lessons:
        progress.advance()
        events, seen = lesson.events, frozenset(lesson.seen)
        others, likeness = contents.query(events, tuning) if contents else ((), None)
        found = collect_features(model, events, tuning, others=(*others, *lesson.seen), likeness=likeness)
        right = np.array([each in lesson.right for each in found.product_ids], dtype=np.bool_)
        if right.any():
            if seen:
                kept = np.array([each in seen for each in found.product_ids], dtype=np.bool_)
            else:
                kept = right | (random.random(len(right)) < parameters.wrong_share)
            features.append(found.features[kept])
            labels.append(right[kept])
            sizes.append(int(kept.sum()))
            weights.append(lesson.weight)
    if not sizes:
        return Groups(np.empty((0, len(FEATURES)), np.float32), np.empty(0, np.bool_), np.empty(0, np.int64))
    return Groups(
        np.concatenate(features),
        np.concatenate(labels),
        np.array(sizes),
        None if set(weights) == {1.0} else np.array(weights, dtype=np.float32),
    )


def _options(parameters: LambdaRank, rows: int, threads: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": "none",
        "lambdarank_truncation_level": 20,
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.leaves,
        "min_data_in_leaf": min(parameters.leaf_rows, max(20, rows // 200)),
        "lambda_l2": parameters.l2,
        "feature_fraction": parameters.feature_share,
        "bagging_fraction": parameters.row_share,
        "bagging_freq": 1,
        "max_bin": 127,
        "use_missing": False,
        "seed": parameters.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
