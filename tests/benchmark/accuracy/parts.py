"""What can be measured by itself, and the data that it needs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """By name, as `--only` takes it."""

    retailrocket = "retailrocket"
    diginetica = "diginetica"
    serenade = "serenade"
    types = "types"
    cold = "cold"
    objectives = "objectives"


TITLES: Final[Mapping[Part, str]] = {
    Part.retailrocket: "RetailRocket",
    Part.diginetica: "Diginetica",
    Part.serenade: "Serenade's example",
    Part.types: "REES46: events weighed by their types",
    Part.cold: "REES46: products that nobody has clicked",
    Part.objectives: "REES46 and simulated shoppers: ordered for carts and purchases",
}
REES46: Final = "rees46_oct2019_17k.csv.gz"
SOURCES: Final[Mapping[Part, str]] = {
    Part.retailrocket: "retailrocket",
    Part.diginetica: "diginetica",
    Part.serenade: "serenade_example",
    Part.types: REES46,
    Part.cold: REES46,
    Part.objectives: REES46,
}
