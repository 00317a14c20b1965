"""What a replay is asked for, and why there may be none."""

from pathlib import Path
from typing import Final

import msgspec

from services.endings import CannotBeDone
from services.history.timerange import TimeRange

SPEED_MAX: Final = 1_000_000.0
MAX: Final = "max"


class ReplayFailed(CannotBeDone):
    """A replay that cannot be, or that broke off; the text says why, and what to do."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `speed` is how many seconds pass in one, None for as fast as it goes.

    `model` is NAME=VERSION as it was written, `settings` a TOML file of settings that are to differ.
    """

    times: TimeRange = TimeRange()
    speed: float | None = None
    prefix: str | None = None
    visitor_id: str | None = None
    archive: str | None = None
    model: str | None = None
    settings: Path | None = None
    workers: int = 1
    cases: int = 2_000
    k: int = 12

    @property
    def has_variant(self) -> bool:
        """Whether the shadow is not to be as live is."""
        return self.model is not None or self.settings is not None


def speed_of(text: str) -> float | None:
    """The speed that --speed names. Raises ReplayFailed."""
    if text.strip() == MAX:
        return None
    try:
        speed = float(text.strip().removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ReplayFailed(f"--speed takes {MAX}, or a number such as 1 or 10 (times as fast): {text!r}")
    return speed


def shown_speed(speed: float | None) -> str:
    """As the report tells it."""
    return MAX if speed is None else f"{speed:g}"
