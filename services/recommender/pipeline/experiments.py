"""The experiments that run, and what a visitor's variants come to. Pure: time comes as an argument.

Of two running experiments that set one knob for one visitor, the one first by name wins, knob by knob: a knob
is the model, the diversity, the objective, or one weight of one kind of row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType
from typing import Final

import msgspec

from schemas import objectives
from schemas.experiments import Experiment, Variant
from schemas.objectives import Objective
from services.recommender.pipeline.scheduled import Schedule

Weights = Mapping[str, float]

NO_WEIGHTS: Final[Weights] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is different for a visitor. `names` are experiment → variant; None, or no weights: as everyone.

    `model` is a line of releases, an empty text for no model at all.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    diversity: float | None = None
    objective: Objective | None = None
    _weights: Mapping[str, Weights] = field(default_factory=dict)

    def weights(self, kind: str) -> Weights:
        """The weights of a kind of row that are not the profile's."""
        return self._weights.get(kind, NO_WEIGHTS)


AS_EVERYONE: Final = Assignment()


class ExperimentSchedule(Schedule[Experiment]):
    """All experiments, and who is in which variant."""

    def __init__(self) -> None:
        super().__init__(Experiment.runs, lambda each: msgspec.structs.replace(each, note=None, updated_at=0))

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All, sorted by name."""
        return self.entries

    def variants_of(self, visitor_id: str, now: float) -> dict[str, Variant]:
        """Experiment → the visitor's variant, of those that run at `now`, Unix ms, and that it is part of."""
        if not self._entries:
            return {}
        found = ((each.name, each.variant_of(visitor_id)) for each in self.active(now))
        return {name: variant for name, variant in found if variant is not None}


def combine_variants(variants: Mapping[str, Variant]) -> Assignment:
    """What a visitor's variants come to together; who is in none is treated as everyone."""
    if not variants:
        return AS_EVERYONE
    by_name = sorted(variants.items(), key=itemgetter(0))
    weights: dict[str, dict[str, float]] = {}
    model: str | None = None
    diversity: float | None = None
    objective: str | None = None
    for _, variant in reversed(by_name):  # the first has the last word
        for kind, told in variant.weights.items():
            weights.setdefault(kind, {}).update(told)
        model = model if variant.model is None else variant.model
        diversity = diversity if variant.diversity is None else variant.diversity
        objective = objective if variant.objective is None else variant.objective
    return Assignment(
        {name: variant.name for name, variant in by_name},
        model,
        diversity,
        None if objective is None else objectives.parse(objective),
        weights,
    )


def knobs(experiment: Experiment) -> set[str]:
    """What any of its variants sets: `model`, `diversity`, `objective`, `weights.similar.brand`."""
    found: set[str] = set()
    for variant in experiment.variants:
        found |= {f"weights.{kind}.{name}" for kind, told in variant.weights.items() for name in told}
        found |= {"model"} if variant.model is not None else set()
        found |= {"diversity"} if variant.diversity is not None else set()
        found |= {"objective"} if variant.objective is not None else set()
    return found


def overlap(one: Experiment, other: Experiment) -> bool:
    """Whether there is a moment at which both run."""
    starts = max(one.starts_at or 0, other.starts_at or 0)
    ends = [each.ends_at for each in (one, other) if each.ends_at is not None]
    return all(starts < end for end in ends)
