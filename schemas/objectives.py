"""What a row's order is for: clicks, products put into a cart, purchases, or a mixture such as
buy:0.7,click:0.3."""

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Final, Literal, get_args

OBJECTIVE_MAX: Final = 100  # characters

ObjectiveName = Literal["click", "cart", "buy"]
# The parts of a mixture, which sum to 1, and none of which is 0.
Objective = Mapping[ObjectiveName, float]

OBJECTIVES: Final[tuple[ObjectiveName, ...]] = get_args(ObjectiveName)
CLICK: Final[Objective] = MappingProxyType({"click": 1.0})


class BadObjective(ValueError):
    """A text that is no objective; says why."""


def parse(text: str) -> Objective:
    """From a text such as buy:0.7,click:0.3, in which a name alone counts 1. Raises BadObjective.

    Weights are brought to a sum of 1: only their relation counts.
    """
    if len(text) > OBJECTIVE_MAX:
        raise BadObjective(f"has more than {OBJECTIVE_MAX} characters; {EXAMPLE}")
    found: dict[ObjectiveName, float] = {}
    for pair in text.split(","):
        given, colon, number = (part.strip() for part in pair.partition(":"))
        name = next((each for each in OBJECTIVES if each == given), None)
        if name is None:
            raise BadObjective(f"{given!r} is none of {', '.join(OBJECTIVES)}; {EXAMPLE}")
        if name in found:
            raise BadObjective(f"{name} is there twice; {EXAMPLE}")
        weight = _weight(number) if colon else 1.0
        if weight is None:
            raise BadObjective(f"{name} needs a weight from 0 on, not {number!r}; {EXAMPLE}")
        found[name] = weight
    greatest = max(found.values())
    if greatest <= 0:
        raise BadObjective(f"all weights are 0; {EXAMPLE}")
    # By the greatest first: the sum of two huge numbers is infinite, the quotient of two tiny ones is not 0.
    parts = {name: weight / greatest for name, weight in found.items()}
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items() if part > 0}


EXAMPLE: Final = "an objective is such as buy:0.7,click:0.3"


def _weight(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if isfinite(weight) and weight >= 0 else None


def check(text: str | None) -> str | None:
    """Why a text is no objective, as a sentence for its sender; None for a good one, and for none."""
    try:
        parse(text) if text is not None else None
    except BadObjective as error:
        return f"objective: {error}"
    return None
