"""How well rows tell the next click, and how far two pipelines' rows are from each other. Pure.

Cases of one visitor depend on each other, so visitors are drawn for the intervals, not cases: the
percentile bootstrap of services/ops/experiments/statistics.py, with its fixed seed, over each visitor's sum
and number of cases. Two pipelines are compared in pairs, case by case, which takes the visitors' own spread
out of the difference. Kendall's tau is scipy's, of the ranks that the common products have in both rows.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]

from services.ops.experiments.statistics import Estimate, ratio
from services.ops.experiments.sums import Sums
from services.ops.replay.figures import OVERLAP_BINS, SHOWN, FrontPoint, Quality, RowsCompared
from services.ops.replay.next_click import Case
from services.ops.replay.recommendations import Row

Rows = Mapping[Case, Row]
Floats = npt.NDArray[np.float64]

NAN: Final = float("nan")


def quality(name: str, rows: Rows, k: int, catalogue: int, confidence: float) -> Quality:
    """How well the first k products of the rows tell the cases' targets; `catalogue` counts all products."""
    cases = sorted(rows)
    ranks = np.array([rank(rows[case].product_ids[:k], case.target) for case in cases], dtype=np.int64)
    products = {product_id for row in rows.values() for product_id in row.product_ids[:k]}
    models = {f"{model}={version}" for row in rows.values() for model, version in row.models.items()}
    return Quality(
        name=name,
        cases=len(cases),
        visitors=_count_visitors(cases),
        hit_rate=mean(cases, (ranks > 0).astype(np.float64), confidence),
        mrr=mean(cases, _reciprocal(ranks), confidence),
        coverage=min(len(products) / catalogue, 1.0) if catalogue else 0.0,
        fallbacks=sum(row.fallback is not None for row in rows.values()) / max(len(rows), 1),
        models=tuple(sorted(models)),
        hits_by_rank=tuple(np.bincount(ranks, minlength=k + 1)[1:].tolist()),
    )


def compare_rows(  # noqa: PLR0917 - two of the same, and how
    name: str, rows: Rows, with_name: str, others: Rows, k: int, confidence: float
) -> RowsCompared:
    """Two pipelines, on the cases that both have rows for."""
    cases = sorted(rows.keys() & others.keys())
    pairs: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for case in cases:
        ours, theirs = rows[case].product_ids, others[case].product_ids
        # A page may have room for less products than were asked for.
        most = min(k, len(ours), len(theirs)) if SHOWN in {name, with_name} else k
        pairs.append((ours[:most], theirs[:most]))
    ranks = np.array(
        [[rank(each, case.target) for each in pair] for case, pair in zip(cases, pairs, strict=True)],
        dtype=np.int64,
    ).reshape(len(cases), 2)
    overlaps = np.array([overlap(*pair) for pair in pairs], dtype=np.float64)
    taus = np.array([tau(*pair) for pair in pairs], dtype=np.float64)
    hits, reciprocal = (ranks > 0).astype(np.float64), _reciprocal(ranks)
    gained = reciprocal[:, 0] - reciprocal[:, 1]
    # An overlap is of a whole number of products in rows of some length: a tenth must not fall below it.
    bins = np.minimum((overlaps * OVERLAP_BINS + 1e-9).astype(np.int64), OVERLAP_BINS - 1)
    return RowsCompared(
        name=name,
        with_name=with_name,
        cases=len(cases),
        visitors=_count_visitors(cases),
        overlap=mean(cases, overlaps, confidence),
        rank_correlation=mean(cases, taus, confidence),
        hit_rate_difference=mean(cases, hits[:, 0] - hits[:, 1], confidence),
        mrr_difference=mean(cases, gained, confidence),
        hit_rates=tuple(hits.mean(axis=0).tolist()) if cases else (0.0, 0.0),
        equal_rows=sum(ours == theirs for ours, theirs in pairs),
        correlated=int(np.isfinite(taus).sum()),
        better=int((gained > 0).sum()),
        worse=int((gained < 0).sum()),
        overlaps=tuple(np.bincount(bins, minlength=OVERLAP_BINS).tolist()),
    )


def front(
    mixtures: Mapping[str, Rows],
    clicks: Collection[Case],
    bought: Collection[Case],
    k: int,
    confidence: float,
) -> tuple[FrontPoint, ...]:
    """Hit rates of clicks and of purchases by what rows are ordered for, each mixture on the same cases."""
    known = set.intersection(*(set(rows) for rows in mixtures.values())) if mixtures else set()

    def hits(rows: Rows, cases: Collection[Case]) -> tuple[Estimate, int]:
        ordered = sorted(known & set(cases))
        ranks = [rank(rows[case].product_ids[:k], case.target) for case in ordered]
        return mean(ordered, np.array([each > 0 for each in ranks], dtype=np.float64), confidence), len(ranks)

    found: list[FrontPoint] = []
    for objective, rows in mixtures.items():
        (by_click, click_cases), (by_purchase, buy_cases) = hits(rows, clicks), hits(rows, bought)
        found.append(
            FrontPoint(
                objective=objective,
                clicks=by_click,
                buys=by_purchase,
                click_cases=click_cases,
                buy_cases=buy_cases,
            )
        )
    return tuple(found)


def mean(cases: Sequence[Case], values: Floats, confidence: float) -> Estimate:
    """The mean of values (n,) of n cases, each as good as another; NaN where a case has none.

    No interval where less than 5 visitors have anything but 0.
    """
    has = np.isfinite(values)
    visitors = np.array([case.visitor_id for case in cases], dtype=np.str_)[has]
    _, of = np.unique(visitors, return_inverse=True)
    sums, counts = np.bincount(of, values[has]), np.bincount(of)
    return ratio(Sums(sums.astype(np.float64), counts.astype(np.float64)), confidence)


def rank(product_ids: Sequence[str], target: str) -> int:
    """Where the target stands, 1 the first; 0 where it does not."""
    return product_ids.index(target) + 1 if target in product_ids else 0


def overlap(ours: Collection[str], theirs: Collection[str]) -> float:
    """The share of products that are in both rows; 1 where both are empty."""
    longest = max(len(ours), len(theirs))
    return len(set(ours) & set(theirs)) / longest if longest else 1.0


def tau(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Kendall's tau of the products that are in both, −1 to 1; NaN where they are less than two."""
    place = {product_id: number for number, product_id in enumerate(theirs)}
    ranks = [place[product_id] for product_id in ours if product_id in place]
    if len(ranks) < 2:
        return NAN
    # Of p nobody asks. The asymptotic one is quicker to have, but divides by zero where there are two.
    method = "asymptotic" if len(ranks) > 2 else "exact"
    return float(stats.kendalltau(range(len(ranks)), ranks, method=method).statistic)


def _reciprocal(ranks: npt.NDArray[np.int64]) -> Floats:
    """1/rank, and 0 for a miss."""
    return np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)


def _count_visitors(cases: Sequence[Case]) -> int:
    return len({case.visitor_id for case in cases})
