"""How much an event counts in a session: by its type, by its rank, by its age; and how long it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

from schemas.sessions import KINDS, SESSION_GAP_MS

MINUTE_MS: Final = 60 * 1000
DAY_MS: Final = 24 * 60 * MINUTE_MS

TYPE_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "view_item": 0.5,
        "add_to_wishlist": 0.7,
        "add_to_cart": 0.7,
        "purchase": 1.0,
        "remove_from_cart": -0.5,
    }
)


@dataclass(frozen=True)
class Tuning:
    """The settings of one shop. An event type without a weight is no signal and is not remembered.

    `half_life_rank` is in events, all other times in ms. A visit ends after `gap_ms` without an event.
    `slow_weight` is what the profile of older visits counts beside the current one, where a purchase is 1.
    What lies `idle_ms` before the newest event is forgotten, and a visitor who was idle for so long with it.
    """

    type_weights: Mapping[str, float] = field(default_factory=lambda: TYPE_WEIGHTS)
    half_life_rank: float = 6.0
    half_life_age_ms: float = 60.0 * MINUTE_MS
    half_life_slow_ms: float = 14.0 * DAY_MS
    slow_weight: float = 0.15
    gap_ms: int = SESSION_GAP_MS
    idle_ms: int = 30 * DAY_MS
    interests_max: int = 3

    @cached_property
    def kind_weights(self) -> tuple[float, ...]:
        """The weight of each of KINDS, 0 for those without."""
        return tuple(self.type_weights.get(type_, 0.0) for type_ in KINDS)
