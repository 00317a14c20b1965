"""A worse model is not released, and it is said why."""

import pytest

from schemas.models import Compared, Gate, Metrics, ModelRelease
from services.trainer.gate import decide

OLD = "20241123T041455Z-b71c"


def metrics(hr: float, mrr: float, cases: int = 1_000) -> Metrics:
    return Metrics(
        hr_20=hr, mrr_20=mrr, coverage=0.5, popularity_bias=0.5, cases=cases, predictions_per_s=1_000
    )


def release(version: str = OLD) -> ModelRelease:
    return ModelRelease(
        name="m", version=version, location="/m", digest="0" * 64, released_at=0, gate=Gate("passed")
    )


POPULARITY = metrics(0.05, 0.01)


def test_the_first_model_must_only_beat_popularity() -> None:
    verdict = decide(metrics(0.06, 0.02), POPULARITY, None, None)
    assert verdict.passed
    assert "Nothing is released yet." in verdict.reasons


@pytest.mark.parametrize(("hr", "mrr"), [(0.05, 0.02), (0.06, 0.01), (0.04, 0.02), (0.06, 0.009)])
def test_who_does_not_beat_popularity_in_both_is_not_released(hr: float, mrr: float) -> None:
    verdict = decide(metrics(hr, mrr), POPULARITY, None, None)
    assert not verdict.passed
    assert "popularity" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("hr", "mrr", "passed"),
    [
        (0.50, 0.30, True),  # as good
        (0.51, 0.31, True),
        (0.4976, 0.30, True),  # within the tolerance of 0.5 %
        (0.4974, 0.30, False),
        (0.60, 0.29, False),  # better in one, worse in the other
        (0.49, 0.40, False),
    ],
)
def test_a_model_must_be_no_worse_than_the_released_one(hr: float, mrr: float, passed: bool) -> None:
    verdict = decide(metrics(hr, mrr), POPULARITY, Compared(OLD, metrics(0.5, 0.3)), release())
    assert verdict.passed is passed
    assert passed or f"worse than the released {OLD}" in verdict.reasons[0]


def test_reasons_against_come_first_and_hold_the_figures() -> None:
    verdict = decide(metrics(0.49, 0.31), POPULARITY, Compared(OLD, metrics(0.5, 0.3)), release())
    assert verdict.reasons[0] == (
        f"HR@20 0.4900 against the released {OLD}'s 0.5000: worse than the released {OLD}."
    )
    assert len(verdict.reasons) == 4


def test_without_tolerance_equal_passes_and_less_does_not() -> None:
    compared, current = Compared(OLD, metrics(0.5, 0.3)), release()
    assert decide(metrics(0.5, 0.3), POPULARITY, compared, current, tolerance=0).passed
    assert not decide(metrics(0.4999, 0.3), POPULARITY, compared, current, tolerance=0).passed


@pytest.mark.parametrize(
    ("compared", "told"),
    [
        (None, "compared with nothing"),
        (Compared("20240101T000000Z-0000", metrics(0.1, 0.1)), "compared with 20240101T000000Z-0000"),
        (Compared(OLD, None, "items.npy: is missing"), "could not be measured: items.npy: is missing"),
        (Compared(OLD, metrics(0.1, 0.1, cases=999)), "on 999 cases"),
    ],
)
def test_who_was_not_compared_with_what_serves_is_not_released(compared: Compared | None, told: str) -> None:
    verdict = decide(metrics(0.6, 0.4), POPULARITY, compared, release())
    assert not verdict.passed
    assert told in verdict.reasons[0]


def test_who_was_not_measured_is_not_released() -> None:
    assert not decide(None, POPULARITY, None, None).passed
    assert not decide(metrics(0.6, 0.4), None, None, None).passed
    few = decide(metrics(0.6, 0.4, cases=99), metrics(0.1, 0.1, cases=99), None, None)
    assert few.reasons[0] == "It was measured on 99 cases; at least 100 are needed."


def test_a_figure_that_is_none_never_passes() -> None:
    assert not decide(metrics(float("nan"), 0.4), POPULARITY, None, None).passed
    assert not decide(
        metrics(0.4, 0.4), POPULARITY, Compared(OLD, metrics(float("nan"), 0.1)), release()
    ).passed
