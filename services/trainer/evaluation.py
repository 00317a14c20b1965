"""Measuring: how well a model tells the next product."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.models import Metrics
from schemas.objectives import CLICK, Objective
from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.ranker import rank_products
from services.model.session import Tuning
from services.progress import Progress
from services.trainer.cases import Case
from services.trainer.content import Contents

K: Final = 20


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said to the cases: `ranks` (n,) of the targets, 1 the best, 0 beyond the first 20;
    how often it has `shown` each product among the first 20; and how long it took.
    """

    ranks: npt.NDArray[np.int64]
    shown: Counter[str]
    seconds: float


def evaluate(
    artifact: Artifact,
    cases: Sequence[Case],
    progress: Progress,
    tuning: Tuning | None = None,
    contents: Contents | None = None,
) -> Metrics:
    """Asks the model each case, as the recommender would: every product may be the answer, repeats too."""
    model = Behaviour.of(artifact)
    return metrics(model, answers(model, cases, progress, tuning or Tuning(), contents))


def answers(
    model: Behaviour,
    cases: Sequence[Case],
    progress: Progress,
    tuning: Tuning,
    contents: Contents | None = None,
    *,
    objective: Objective = CLICK,
) -> Answers:
    """The model's answer to each case; what nobody has clicked is among them where contents are given.

    Where several products are right, the first of them counts.
    """
    progress.stage("measuring", len(cases))
    if cases:
        _answer(model, cases[0], tuning, contents, objective)  # what comes with the first call is no case's
    ranks = np.zeros(len(cases), np.int64)
    shown: Counter[str] = Counter()
    started = perf_counter()
    for number, case in enumerate(cases):
        row = _answer(model, case, tuning, contents, objective)
        shown.update(row)
        ranks[number] = min((row.index(each) + 1 for each in case.right if each in row), default=0)
        progress.advance()
    return Answers(ranks, shown, perf_counter() - started)


def metrics(model: Behaviour, given: Answers) -> Metrics:
    """The figures of a model's answers."""
    hr_20, mrr_20 = accuracy(given.ranks)
    return Metrics(
        hr_20=hr_20,
        mrr_20=mrr_20,
        coverage=sum(product in model for product in given.shown) / max(len(model), 1),
        popularity_bias=_bias(model, given.shown),
        cases=len(given.ranks),
        predictions_per_s=round(len(given.ranks) / max(given.seconds, 1e-9), 1),
    )


def accuracy(ranks: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The hit rate and the mean reciprocal rank of targets' ranks (n,), where 0 is a miss."""
    hits, total = ranks[ranks > 0], max(len(ranks), 1)
    return len(hits) / total, float((1 / hits).sum()) / total


def _answer(
    model: Behaviour, case: Case, tuning: Tuning, contents: Contents | None, objective: Objective
) -> tuple[str, ...]:
    events = case.remember(tuning)
    others, likeness = contents.query(events, tuning) if contents else ((), None)
    return rank_products(
        model, events, tuning, others=others, likeness=likeness, objective=objective
    ).product_ids[:K]


def _bias(model: Behaviour, shown: Counter[str]) -> float:
    """The mean popularity rank of what was shown: 1 for the most popular product, 0 for the least.

    A product that the model does not know, but the catalogue, is one of the least.
    """
    place = {product: rank for rank, product in enumerate(model.by_popularity())}
    others = max(len(model) - 1, 1)
    places = ((place.get(product, others), count) for product, count in shown.items())
    return sum(count * (1 - rank / others) for rank, count in places) / max(shown.total(), 1)
