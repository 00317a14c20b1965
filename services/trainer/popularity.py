"""The least a model must beat: to everybody the products that most have looked at."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from schemas.models import Metrics
from services.trainer.cases import Case
from services.trainer.evaluation import K, accuracy
from services.trainer.sessions import Histories


def most_popular(histories: Histories, k: int = K) -> tuple[str, ...]:
    """The k products with the most events, most popular first; of equal ones the alphabetically first."""
    counts = np.bincount(histories.items, minlength=len(histories.products))
    return tuple(histories.products[place] for place in np.argsort(-counts, kind="stable")[:k])


def measure_popularity(histories: Histories, cases: Sequence[Case]) -> Metrics:
    """How well the same 20 products serve every case."""
    started = perf_counter()
    ranks = {product: rank for rank, product in enumerate(most_popular(histories), start=1)}
    hr_20, mrr_20 = accuracy(np.array([ranks.get(case.target, 0) for case in cases], dtype=np.int64))
    others = max(len(histories.products) - 1, 1)
    return Metrics(
        hr_20=hr_20,
        mrr_20=mrr_20,
        coverage=len(ranks) / max(len(histories.products), 1),
        popularity_bias=1 - (len(ranks) - 1) / 2 / others if ranks else 0.0,
        cases=len(cases),
        predictions_per_s=round(len(cases) / max(perf_counter() - started, 1e-9), 1),
    )
