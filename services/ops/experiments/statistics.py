"""Intervals, lifts and tests of an experiment, by scipy. The person is the unit of all of them.

- A share of persons (who clicked, who bought): Wilson's interval; the lift is the relative risk − 1 with
  Katz's log interval; p by Pearson's χ² without correction, and by Fisher's exact test where a cell is
  expected to hold less than 5 (Cochran's rule).
- A ratio of sums (clicked rows to rows, revenue to persons): rows of one person depend on each other, so
  persons are drawn, not rows: the percentile bootstrap (Efron & Tibshirani, 1993, ch. 13), with a fixed
  seed. p is twice the smaller share of the draws' lifts on one side of 0, never less than 2 / (DRAWS + 1).
  With less than 5 persons who clicked, or spent, there is neither.
  Above GROUPS persons, equally large random groups of them are drawn, which has the same variance (the
  bucketed bootstrap), and a bounded time.
- The sizes of the variants against their shares: χ². Below MISMATCH the assignment or what is recorded is
  broken, and no other figure can be trusted (Fabijan et al., KDD 2019).

Differences are not corrected for there being several variants. What cannot be told (a share of nobody, a lift
over nothing) is None.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]

from services.ops.experiments.sums import EXPECTED_MIN, SEED, Floats, Sums, group_persons

Test = Literal["chi-square", "fisher", "bootstrap"]

DRAWS: Final = 4_999
BATCH: Final = 500  # draws at once: 4 MB an array
MISMATCH: Final = 0.001


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its confidence interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Lift(msgspec.Struct, frozen=True):
    """How much more than the first variant, as a share of it: .1 is a tenth more; with its interval.

    `high` is None where the interval has no upper end that could be told.
    """

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    test: Test | None
    significant: bool


@dataclass(frozen=True, slots=True)
class Count:
    """So many of so many persons."""

    of: int
    all: int


class _Interval(Protocol):
    low: float
    high: float


class _BootstrapResult(Protocol):
    confidence_interval: _Interval
    bootstrap_distribution: Floats


def share(count: Count, confidence: float) -> Estimate:
    """A share of persons, by Wilson's interval."""
    if count.all == 0:
        return Estimate(None)
    interval = stats.binomtest(count.of, count.all).proportion_ci(confidence, method="wilson")
    return Estimate(count.of / count.all, finite(interval.low), finite(interval.high))


def share_lift(count: Count, first: Count, confidence: float) -> Lift:
    """How much larger a share is than the first variant's."""
    if count.all == 0 or first.all == 0:
        return Lift(None, None, None, None, None, False)
    risk = stats.contingency.relative_risk(count.of, count.all, first.of, first.all)
    interval = risk.confidence_interval(confidence)
    p_value, test = _test(count, first)
    if count.of == 0 or first.of == 0:  # the log interval knows no zeros
        value = -1.0 if first.of else None
        return Lift(value, None, None, p_value, test, _significant(p_value, confidence))
    return Lift(
        finite(risk.relative_risk - 1),
        finite(interval.low - 1),
        finite(interval.high - 1),
        p_value,
        test,
        _significant(p_value, confidence),
    )


def ratio(sums: Sums, confidence: float) -> Estimate:
    """A ratio of sums, its persons bootstrapped."""
    value = sums.ratio
    if value is None or sums.too_few:
        return Estimate(value)
    drawn = sums.group()
    found = _bootstrap(lambda at, axis: _ratio(drawn, at), [drawn], confidence)
    interval = found.confidence_interval
    return Estimate(value, finite(interval.low), finite(interval.high))


def ratio_lift(sums: Sums, first: Sums, confidence: float) -> Lift:
    """How much larger a ratio is than the first variant's."""
    value, base = sums.ratio, first.ratio
    if value is None or not base:
        return Lift(None, None, None, None, None, False)
    if sums.too_few or first.too_few:
        return Lift(value / base - 1, None, None, None, None, False)
    ours, theirs = sums.group(), first.group()
    found = _bootstrap(
        lambda a, b, axis: _lift(_ratio(ours, a), _ratio(theirs, b)), [ours, theirs], confidence
    )
    return _lift_of(value / base - 1, found, confidence)


def pair_lift(sums: Sums, base: Sums, confidence: float) -> Lift:
    """The same of two ratios of the same persons, who are drawn with both of their pairs of numbers."""
    value, other = sums.ratio, base.ratio
    if value is None or not other:
        return Lift(None, None, None, None, None, False)
    if sums.too_few or base.too_few:
        return Lift(value / other - 1, None, None, None, None, False)
    above, below, base_above, base_below = group_persons(sums.above, sums.below, base.above, base.below)
    ours, theirs = Sums(above, below), Sums(base_above, base_below)
    found = _bootstrap(lambda at, axis: _lift(_ratio(ours, at), _ratio(theirs, at)), [ours], confidence)
    return _lift_of(value / other - 1, found, confidence)


def _lift_of(value: float, found: _BootstrapResult, confidence: float) -> Lift:
    interval, lifts = found.confidence_interval, found.bootstrap_distribution
    below, above = int((lifts <= 0).sum()), int((lifts >= 0).sum())
    p_value = min(1.0, 2 * (min(below, above) + 1) / (len(lifts) + 1))
    low, high = finite(interval.low), finite(interval.high)
    return Lift(value, low, high, p_value, "bootstrap", _significant(p_value, confidence))


def sample_ratio(visitors: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """p of the variants' sizes, were persons assigned by the shares; None where there is nothing to compare.

    Variants without a share are left out.
    """
    named = [name for name, share in shares.items() if share > 0]
    found = np.array([visitors.get(name, 0) for name in named], dtype=np.float64)
    if len(named) < 2 or found.sum() == 0:
        return None
    expected = np.array([shares[name] for name in named])
    return finite(stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue)


def finite(value: float) -> float | None:
    """The number; None for what JSON cannot say."""
    return float(value) if math.isfinite(value) else None


def _test(count: Count, first: Count) -> tuple[float | None, Test | None]:
    table = np.array([[count.of, count.all - count.of], [first.of, first.all - first.of]])
    sums = table.sum(axis=0)
    if not sums.all():  # nobody did it, or everybody: nothing can differ
        return 1.0, "fisher"
    if stats.contingency.expected_freq(table).min() < EXPECTED_MIN:
        return finite(stats.fisher_exact(table).pvalue), "fisher"
    return finite(stats.chi2_contingency(table, correction=False).pvalue), "chi-square"


def _significant(p_value: float | None, confidence: float) -> bool:
    return p_value is not None and p_value < 1 - confidence


def _bootstrap(
    statistic: Callable[..., Floats], drawn: Sequence[Sums], confidence: float
) -> _BootstrapResult:
    """Draws persons by their places, so that a person's two numbers stay together."""
    with np.errstate(invalid="ignore"):  # the spread of endless lifts, which nobody asks for
        found: _BootstrapResult = stats.bootstrap(
            [np.arange(len(each.above)) for each in drawn],
            statistic,
            n_resamples=DRAWS,
            batch=BATCH,
            vectorized=True,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(SEED),
        )
    return found


def _ratio(sums: Sums, at: npt.NDArray[np.int64]) -> Floats:
    above, below = sums.above[at].sum(axis=-1), sums.below[at].sum(axis=-1)
    # A draw may have nobody of the few who have anything to be a share of.
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def _lift(ours: Floats, theirs: Floats) -> Floats:
    """The lift of each draw; endless over a draw in which the first variant has nothing."""
    endless = np.full_like(np.broadcast_arrays(ours, theirs)[0], np.inf)
    return np.asarray(np.divide(ours, theirs, out=endless, where=theirs > 0) - 1)
