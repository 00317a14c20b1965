"""Whether a model's order for carts or purchases is worth having, beside its order for clicks."""

from collections.abc import Callable, Mapping, Sequence

from schemas.models import ObjectiveMetrics
from schemas.objectives import CLICK, Objective, ObjectiveName
from services.model.behaviour import Behaviour
from services.trainer.cases import OUTCOMES, Case
from services.trainer.lambdarank import LESSONS_MIN

# The hit rate and the mean reciprocal rank of a model's order for an objective, on cases.
Ask = Callable[[Objective, Sequence[Case]], tuple[float, float]]


def measure_objectives(
    model: Behaviour,
    lessons: Mapping[ObjectiveName, int],
    outcomes: Mapping[ObjectiveName, Sequence[Case]],
    ask: Ask,
    *,
    cases_min: int,
) -> dict[ObjectiveName, ObjectiveMetrics]:
    """Of each objective but clicks.

    `reason` is set where the model has no order of its own, or none that it should have: on at least
    `cases_min` cases its HR@20 and MRR@20 together come to less than those of the order for clicks. Of what
    is bought most was looked at before, and is among the first 20 anyway: how early is what differs.
    """
    return {
        name: _measure(model, name, lessons.get(name, 0), outcomes.get(name, ()), ask, cases_min)
        for name in OUTCOMES
    }


def _measure(  # noqa: PLR0917 - called once
    model: Behaviour, name: ObjectiveName, lessons: int, cases: Sequence[Case], ask: Ask, cases_min: int
) -> ObjectiveMetrics:
    if model.missing({name: 1.0}):
        reason = f"{lessons} cases to learn from, {LESSONS_MIN} are needed: ordered as for clicks"
        return ObjectiveMetrics(lessons=lessons, cases=len(cases), reason=reason)
    if not cases:
        return ObjectiveMetrics(lessons=lessons)
    own, clicks = ask({name: 1.0}, cases), ask(CLICK, cases)
    is_worse = len(cases) >= cases_min and sum(own) < sum(clicks)
    return ObjectiveMetrics(
        lessons=lessons,
        cases=len(cases),
        hr_20=own[0],
        mrr_20=own[1],
        clicks_hr_20=clicks[0],
        clicks_mrr_20=clicks[1],
        reason="the order for clicks does better, and serves" if is_worse else None,
    )
