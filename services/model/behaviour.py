"""What shoppers do, learned: for a session the products that come next, each with a score. Pure.

The same code serves and is measured. A model is one generation of arrays that belong together and never
change: a new one is another object.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np

from schemas.objectives import CLICK, OBJECTIVES, Objective, ObjectiveName
from schemas.sessions import SessionEvent
from services.model.artifact import Artifact, ArtifactRefused
from services.model.candidates import (
    AFTER_RANK,
    CONTENT,
    EVENTS_AGO,
    FEATURES,
    IDLE,
    ITEM2VEC,
    ITEM2VEC_RANK,
    KNN,
    KNN_RANK,
    LENGTH,
    NEVER_CLICKED,
    TOGETHER_AGE,
    TOGETHER_RANK,
    Workspace,
    generate,
)
from services.model.co_visits import count_beside, count_groups, count_visits
from services.model.forest import (
    OBJECTIVE_TREES,
    LeafMasks,
    ObjectiveTrees,
    Trees,
    masks,
    score_masked,
    score_trees,
)
from services.model.item2vec import Item2Vec
from services.model.repurchase import Repeats
from services.model.session import Tuning, event_weights, visits
from services.model.session_index import PER, Floats, Ints, SessionIndex, extend_index

PRODUCTS: Final = "products.json"
FEATURE_NAMES: Final = "features.json"
OBJECTIVE_NAMES: Final = "objectives.json"
POPULARITY_FACTOR: Final = "popularity_factor"
# Reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). On validation cuts the neighbours deserved
# twice the weight, transitions added nothing to them, and an offset below the paper's 60 kept MRR higher.
RANK_OFFSET: Final = 20.0
FUSED: Final = ((2.0, KNN_RANK, KNN), (1.0, ITEM2VEC_RANK, ITEM2VEC))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Products (n,) by id, no two alike, and what is known of each, (n, FEATURES) float32."""

    product_ids: tuple[str, ...]
    features: Floats


class Behaviour:
    """One generation of a model, which has learned from events up to `learned_until`, Unix ms.

    `repeats` are what it knows of how soon types of products are bought again. `trees` order for clicks,
    those of `objectives` for mixtures. For one thread at a time.
    """

    def __init__(
        self,
        version: str,
        products: Sequence[str],
        index: SessionIndex,
        vectors: Item2Vec,
        trees: Trees | None,
        *,
        learned_until: int = 0,
        repeats: Repeats | None = None,
        objectives: ObjectiveTrees | None = None,
        popularity: Floats | None = None,
    ) -> None:
        self.version = version
        self.learned_until = learned_until
        self.repeats = repeats or Repeats()
        self.products = tuple(products)
        self._popularity = popularity
        self._number = {product_id: number for number, product_id in enumerate(products)}
        self._index = index
        self._vectors = vectors
        self._trees = None if trees is None else (trees, masks(trees))
        self._objectives = None if objectives is None else (objectives.trees, masks(objectives.trees))
        self._learned = frozenset[ObjectiveName]() if objectives is None else objectives.learned
        self._work = Workspace.of(index.sessions, index.products)

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Raises ArtifactRefused for parts that do not fit each other or this code."""
        names = tuple(_strings(artifact, FEATURE_NAMES))
        if names != FEATURES:
            raise ArtifactRefused(FEATURE_NAMES, f"made for other code: {_difference(names)}")
        try:
            index, vectors = SessionIndex.of(artifact.arrays), Item2Vec.of(artifact.arrays)
            trees = Trees.of(artifact.arrays) if Trees.are_in(artifact.arrays) else None
            objectives = objectives_of(artifact)
        except KeyError as error:
            raise ArtifactRefused(f"{error.args[0]}.npy", "is missing") from None
        products, manifest = _strings(artifact, PRODUCTS), artifact.manifest
        for name, count in (("sessions_support", index.products), ("item2vec_in", len(vectors.vectors_in))):
            if count != len(products):
                raise ArtifactRefused(f"{name}.npy", f"{count} products, but {PRODUCTS} has {len(products)}")
        return cls(
            manifest.version,
            products,
            index,
            vectors,
            trees,
            learned_until=manifest.data.until,
            repeats=Repeats.read(artifact),
            objectives=objectives,
            popularity=artifact.arrays.get(POPULARITY_FACTOR),
        )

    def grow(self, visits: Iterable[Sequence[str]]) -> "Behaviour":
        """The same generation with visits that came after its learning, the oldest first.

        They count as neighbours and transitions at once; vectors and re-ranker stay as they are. Products
        that the model does not know are passed over, and visits without two that it does.
        """
        numbers = (
            [self._number[product_id] for product_id in visit if product_id in self._number]
            for visit in visits
        )
        grown = copy(self)
        grown._index = extend_index(self._index, [visit for visit in numbers if len(visit) > 1])
        grown._work = Workspace.of(grown._index.sessions, grown._index.products)
        return grown

    def __contains__(self, product_id: str) -> bool:
        return product_id in self._number

    def __len__(self) -> int:
        return len(self.products)

    def has_witnesses(self, product_id: str) -> bool:
        """Whether past sessions hold the product; the model also knows products that nobody has looked at."""
        number = self._number.get(product_id)
        return number is not None and self._index.support[number] > 0

    @property
    def is_learned(self) -> bool:
        """Whether a re-ranker puts candidates in order, so that `shares` are how likely each is."""
        return self._trees is not None

    @property
    def visits(self) -> int:
        """How many past visits it knows."""
        return self._index.sessions

    @property
    def mean_popularity(self) -> float:
        """The mean of `SessionIndex.popularity`."""
        events, visits = len(self._index.items), self._index.sessions
        return PER * events / max(visits * len(self.products), 1) or 1.0

    @property
    def support(self) -> Floats:
        """(products,) in how many of them each product is, by number."""
        return self._index.support

    def numbers_of(self, product_ids: Sequence[str]) -> Ints:
        """(n,) the model's own numbers, −1 for products that it does not know."""
        return np.array([self._number.get(each, -1) for each in product_ids], dtype=np.int32)

    def count_beside(self, number: int) -> tuple[Ints, Ints, int]:
        """Products (n,) by number that visits hold beside one, in how many of its visits, and how many those
        are: all, or the newest 1,000."""
        of, ends = number, self._index.place_starts
        numbers, counts = count_beside(self._index, of, self._work.reach_mark)
        return numbers, counts, int(ends[of + 1] - ends[of])

    def count_groups(self, groups: Ints, count: int) -> Ints:
        """(count, count) visits in which two groups of products stand together, as `groups` has them."""
        return count_groups(self._index, groups, count)

    def count_visits(self, some: Sequence[str], others: Sequence[str]) -> Ints:
        """(n, m) in how many visits each of some products stands with each of others, none of them twice.

        See services.model.co_visits for what is counted where both are in more than 1,000 visits.
        """
        rows, columns = self.numbers_of(some), self.numbers_of(others)
        return count_visits(self._index, rows, columns, self._work.reach_mark)

    def closeness(self, some: Sequence[str], others: Sequence[str]) -> Floats:
        """(n, m) IN · OUT of item2vec, of others' IN with some products' OUT; 0 for what it does not know."""
        rows, columns = self.numbers_of(some), self.numbers_of(others)
        found: Floats = self._vectors.vectors_out[rows] @ self._vectors.vectors_in[columns].T
        found[rows < 0] = 0
        found[:, columns < 0] = 0
        return found

    def by_popularity(self) -> list[str]:
        """All products, those with the most events first."""
        order = np.argsort(-self._index.popularity, kind="stable")
        return [self.products[number] for number in order.tolist()]

    def popularity_factor(self, product_id: str) -> float:
        """What a count of a product's events is multiplied by to tell how it does where it is seen.

        1 where nothing is known: the model is older, chance has had no say in rows, or the product is new.
        """
        number = self._number.get(product_id)
        return 1.0 if self._popularity is None or number is None else float(self._popularity[number])

    def candidates(
        self, events: Sequence[SessionEvent], tuning: Tuning, others: Sequence[str] = ()
    ) -> Candidates:
        """What may come after these events, of which the current visit counts; and the `others`, with them.

        Others that the model does not know are last. No events that the model knows: only the others.
        """
        distinct = dict.fromkeys(others)
        unknown = [product_id for product_id in distinct if product_id not in self._number]
        extra = np.array(
            [self._number[product_id] for product_id in distinct if product_id in self._number],
            dtype=np.int32,
        )
        numbers, features = self.candidates_by_number(events, tuning, extra, len(unknown))
        names = [self.products[number] for number in numbers.tolist()]
        return Candidates((*names, *unknown), features)

    def candidates_by_number(
        self, events: Sequence[SessionEvent], tuning: Tuning, extra: Ints, unknown: int
    ) -> tuple[Ints, Floats]:
        """The same for products by their numbers in this model, and so many that it does not know.

        The numbers (n,) of those that it does know, and features of (n + unknown,) products.
        """
        items, weights = self.context(events, tuning)
        numbers, features = generate(self._index, self._vectors, items, weights, extra, self._work)
        if unknown:
            features = np.concatenate([features, _never_clicked(unknown, len(numbers), len(items))])
        return numbers, features

    def missing(self, objective: Objective) -> tuple[ObjectiveName, ...]:
        """What of an objective this model has not learned apart: there the order is that of clicks."""
        return tuple(name for name in objective if name != "click" and name not in self._learned)

    def scores(self, features: Floats, objective: Objective = CLICK) -> Floats:
        """(n,) of candidates' features: the higher, the likelier to come next; comparable within one call.

        A mixture is the weighted sum of what the trees of objectives say for each. What they have not learned
        counts as clicks. Without a learned re-ranker the sources are fused by their ranks.
        """
        if self._trees is None or not len(features):
            return fuse_ranks(features)
        parts: dict[ObjectiveName, float] = {}
        for name, weight in objective.items():
            known = name if name in self._learned else "click"
            parts[known] = parts.get(known, 0.0) + weight
        if self._objectives is None or parts.keys() == {"click"}:
            return _score(*self._trees, features)
        told = np.empty((len(features), features.shape[1] + 1), np.float32)
        told[:, :-1] = features
        total = np.zeros(len(features), np.float32)
        for name, weight in parts.items():
            told[:, -1] = OBJECTIVES.index(name)
            total += np.float32(weight) * _score(*self._objectives, told)
        return total

    def shares(self, scores: Floats) -> Floats:
        """(n,) each one's part of 1, of products that were scored in one call: how likely it is the next.

        Where a re-ranker learned to tell which of two products comes next, by the logistic function of their
        scores' difference (LambdaMART), that is their softmax.
        """
        parts = scores if self._trees is None else np.exp(scores - scores.max(initial=-np.inf))
        shares: Floats = parts / parts.sum() if len(parts) else parts
        return shares

    def context(self, events: Sequence[SessionEvent], tuning: Tuning) -> tuple[Ints, Floats]:
        """The current visit: product numbers, −1 for unknown, and weights of which the greatest is 1."""
        if not events:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        current = events[visits(events, tuning.gap_ms)[-1] :]
        weights = np.array(event_weights(current, [0], tuning), dtype=np.float32)
        greatest = weights.max()
        if greatest > 0:
            weights /= greatest
        items = [self._number.get(event.product_id, -1) for event in current]
        return np.array(items, dtype=np.int32), weights


def _score(trees: Trees, leaves: LeafMasks | None, features: Floats) -> Floats:
    return score_masked(leaves, features) if leaves else score_trees(trees, features)


def fuse_ranks(features: Floats) -> Floats:
    """(n,) Σ weight / (20 + rank) over the sources that bring it; content decides between equals."""
    scores = 1e-3 * features[:, CONTENT]
    for weight, rank, value in FUSED:
        scores += weight * (features[:, value] > 0) / (RANK_OFFSET + features[:, rank])
    return scores


def _never_clicked(count: int, others: int, length: int) -> Floats:
    """Features of products that came after the training: nobody was seen with them."""
    features = np.zeros((count, len(FEATURES)), np.float32)
    features[:, [KNN_RANK, AFTER_RANK, TOGETHER_RANK, ITEM2VEC_RANK]] = others
    features[:, EVENTS_AGO], features[:, [IDLE, TOGETHER_AGE]] = NEVER_CLICKED, 1
    features[:, LENGTH] = length
    return features


def objectives_of(artifact: Artifact) -> ObjectiveTrees | None:
    """Of an artifact that has any. Raises KeyError for a missing array, ArtifactRefused for a bad list."""
    if not Trees.are_in(artifact.arrays, OBJECTIVE_TREES):
        return None
    told = frozenset(_strings(artifact, OBJECTIVE_NAMES))
    learned = frozenset(name for name in OBJECTIVES if name in told)
    return ObjectiveTrees(Trees.of(artifact.arrays, OBJECTIVE_TREES), learned)


def _strings(artifact: Artifact, name: str) -> list[str]:
    if name not in artifact.texts:
        raise ArtifactRefused(name, "is missing")
    try:
        return msgspec.json.decode(artifact.texts[name], type=list[str])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ArtifactRefused(name, f"is no list of strings: {error}") from None


def _difference(names: Sequence[str]) -> str:
    missing = [name for name in FEATURES if name not in names]
    foreign = [name for name in names if name not in FEATURES]
    parts = (("without", missing), ("with", foreign))
    told = [f"{word} the features {', '.join(which)}" for word, which in parts if which]
    return " and ".join(told) or "with the features in another order"
