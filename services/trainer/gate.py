"""Whether a measured model may be released: it must beat popularity and be no worse than what serves now."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.models import Compared, Metrics, ModelRelease

CASES_MIN: Final = 100  # below, chance decides: two standard errors of a share are up to ± 10 %
TOLERANCE: Final = 0.005  # relative: by so much do two trainings with different seeds differ


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and what it rests on, in sentences; the reasons against come first."""

    passed: bool
    reasons: tuple[str, ...]


def decide(
    metrics: Metrics | None,
    popularity: Metrics | None,
    compared: Compared | None,
    current: ModelRelease | None,
    *,
    tolerance: float = TOLERANCE,
    cases_min: int = CASES_MIN,
) -> Verdict:
    """Holds a model's metrics against popularity's and against those of the release that serves now.

    `compared` is the release that was measured on the new model's cases; it must be `current`. A model may be
    worse than it by the share `tolerance`, in each of HR@20 and MRR@20.
    """
    if metrics is None or popularity is None:
        return Verdict(False, ("It was not measured on held-out cases.",))
    found = list(_on_cases(metrics, popularity, cases_min))
    found += _against(metrics, popularity, "popularity", "popularity's", 0.0, strictly=True)
    found += _on_current(metrics, compared, current, tolerance)
    against = tuple(sentence for good, sentence in found if not good)
    return Verdict(not against, against + tuple(sentence for good, sentence in found if good))


Finding = tuple[bool, str]


def _on_cases(metrics: Metrics, popularity: Metrics, cases_min: int) -> Iterator[Finding]:
    if metrics.cases < cases_min:
        yield False, f"It was measured on {metrics.cases} cases; at least {cases_min} are needed."
    if popularity.cases != metrics.cases:
        yield False, f"Popularity was measured on {popularity.cases} cases, the model on {metrics.cases}."


def _on_current(
    metrics: Metrics, compared: Compared | None, current: ModelRelease | None, tolerance: float
) -> Iterator[Finding]:
    if current is None:
        yield True, "Nothing is released yet."
        return
    if compared is None or compared.version != current.version:
        with_what = "nothing" if compared is None else compared.version
        yield False, f"It was compared with {with_what}, but {current.version} is released: train again."
        return
    if compared.metrics is None:
        yield False, f"The released {current.version} could not be measured: {compared.reason}"
        return
    if compared.metrics.cases != metrics.cases:
        yield False, f"{current.version} was measured on {compared.metrics.cases} cases, not {metrics.cases}."
        return
    name = f"the released {current.version}"
    yield from _against(metrics, compared.metrics, name, f"{name}'s", tolerance, strictly=False)


def _against(
    metrics: Metrics, other: Metrics, name: str, whose: str, tolerance: float, *, strictly: bool
) -> Iterator[Finding]:
    for measure, ours, theirs in (
        ("HR@20", metrics.hr_20, other.hr_20),
        ("MRR@20", metrics.mrr_20, other.mrr_20),
    ):
        shown = f"{measure} {ours:.4f} against {whose} {theirs:.4f}"
        if ours > theirs or (ours == theirs and not strictly):
            yield True, f"{shown}: no worse than {name}." if ours == theirs else f"{shown}: better."
        elif ours >= theirs * (1 - tolerance) and not strictly:
            yield True, f"{shown}: worse by less than {tolerance:.1%}."
        else:
            yield False, f"{shown}: {'no better' if ours == theirs else 'worse'} than {name}."
