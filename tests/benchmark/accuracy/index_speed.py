"""How fast the index is by itself, on one core, beside a bare session-kNN in numpy."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.candidates import (
    CONTEXT_MAX,
    KNN,
    NEIGHBOURS_MAX,
    POSITION_DECAY,
    SESSION_DECAY,
    Workspace,
    generate,
)
from services.model.item2vec import Item2Vec
from services.model.session import Tuning
from services.model.session_index import Floats, Ints, SessionIndex, read_only
from services.trainer.cases import Case
from services.trainer.evaluation import K
from tests.benchmark.accuracy.figures import Speed

CASES: Final = 3_000
ROUNDS: Final = 3
NONE: Final = np.empty(0, np.int32)

Asked = tuple[Ints, Floats]


def measure(model: Artifact, cases: Sequence[Case], tuning: Tuning) -> Speed:
    """The median of three rounds, which take turns; asked are cases evenly spread over all."""
    index = SessionIndex.of(model.arrays)
    asked = _ask(Behaviour.of(model), cases, tuning)
    vectors, work = nothing(index.products), Workspace.of(index.sessions, index.products)
    ways: dict[str, Callable[[Asked], Ints]] = {
        "index": lambda case: best_of_index(index, vectors, case, work),
        "numpy": lambda case: best_by_numpy(index, case),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        way(asked[0])
        rates[name].clear()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = perf_counter()
            for case in asked:
                way(case)
            rates[name].append(len(asked) / (perf_counter() - started))
    return Speed(round(median(rates["index"]), 1), round(median(rates["numpy"]), 1), len(asked))


def _ask(model: Behaviour, cases: Sequence[Case], tuning: Tuning) -> list[Asked]:
    places = np.unique(np.linspace(0, len(cases) - 1, min(CASES, len(cases))).astype(int))
    return [model.context(cases[place].remember(tuning), tuning) for place in places.tolist()]


def nothing(products: int) -> Item2Vec:
    """Vectors that bring no candidates and cost nothing."""
    empty = read_only(np.zeros((products, 1), np.float32))
    return Item2Vec(empty, empty, empty, empty, read_only(np.empty((products, 0), np.int32)))


def best_of_index(index: SessionIndex, vectors: Item2Vec, asked: Asked, work: Workspace) -> Ints:
    """The 20 products with most of the neighbours' votes, with all that the re-ranker is told of them."""
    candidates, features = generate(index, vectors, *asked, NONE, work)
    return candidates[np.argsort(-features[:, KNN])[:K]]


def best_by_numpy(index: SessionIndex, asked: Asked) -> Ints:
    """The same question answered by session-kNN only: no transitions, no features; whole arrays at a time."""
    items, weights = asked
    last = dict(zip(items.tolist(), range(len(items)), strict=True))
    context = [place for place in sorted(last.values(), reverse=True) if items[place] >= 0][:CONTEXT_MAX]
    spans = [slice(*index.place_starts[items[place] : items[place] + 2]) for place in context]
    if not spans:
        return NONE
    met = np.concatenate([index.session_of[index.places[span]] for span in spans])
    rarity = np.log(1 + index.sessions / (index.support + 1))
    ago = len(items) - 1 - np.array(context)
    counts = weights[context] * np.exp(-ago / POSITION_DECAY) * rarity[items[context]]
    shares = np.repeat(counts, [span.stop - span.start for span in spans])
    sessions, which = np.unique(met, return_inverse=True)
    lengths = index.starts[sessions + 1] - index.starts[sessions]
    ages = (index.sessions - 1 - sessions) / index.sessions
    similarity = np.bincount(which, shares) * np.exp(-ages / SESSION_DECAY) / np.sqrt(lengths + 1)
    if len(similarity) > NEIGHBOURS_MAX:
        best = np.argpartition(-similarity, NEIGHBOURS_MAX)[:NEIGHBOURS_MAX]
        sessions, lengths, similarity = sessions[best], lengths[best], similarity[best]
    before = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(index.starts[sessions] - before, lengths)
    votes = np.bincount(index.items[places], np.repeat(similarity, lengths), minlength=index.products)
    votes *= rarity
    top = np.argpartition(-votes, min(K, len(votes) - 1))[:K]
    found: Ints = top[np.argsort(-votes[top])].astype(np.int32)
    return found
