"""How much an event counts in a session: by its type, by its rank, by its age."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

DAY_MS: Final = 24 * 60 * 60 * 1000

TYPE_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "view_item": 0.5,
        "add_to_wishlist": 0.7,
        "add_to_cart": 0.7,
        "purchase": 1.0,
        "remove_from_cart": -0.5,
    }
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings of one shop. An event type without a weight is no signal and is not remembered.

    `half_life_rank` is in events, the other half-lives in ms; `slow_weight` is what the profile of older
    sessions counts beside the current one.
    """

    type_weights: Mapping[str, float] = field(default_factory=lambda: TYPE_WEIGHTS)
    half_life_rank: float = 6.0
    half_life_age_ms: float = 60 * 60 * 1000.0
    half_life_slow_ms: float = 14.0 * DAY_MS
    slow_weight: float = 0.15
    interests_max: int = 3
