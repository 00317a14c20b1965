"""Figures as people read them: percent, points, and from where to where an interval goes. Pure."""

from collections.abc import Callable
from typing import Final

from services.ops.replay.answers import Estimate

NOTHING: Final = "–"
Figure = Callable[[float], str]


def percent(value: float) -> str:
    """A share: 12.3%."""
    return f"{value:.1%}"


def decimal(value: float) -> str:
    """A mean that is no share: 0.123."""
    return f"{value:.3f}"


def points(value: float) -> str:
    """A difference of shares, in percentage points: +1.2."""
    return _signed(f"{100 * value:+.1f}")


def change(value: float) -> str:
    """A difference of means: +0.012."""
    return _signed(f"{value:+.3f}")


def told(estimate: Estimate, figure: Figure) -> str:
    """The figure itself."""
    return NOTHING if estimate.value is None else figure(estimate.value)


def interval(estimate: Estimate, figure: Figure) -> str:
    """Its interval, or that there is none."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    return f"{figure(estimate.low)} to {figure(estimate.high)}"


def counted(count: int, noun: str) -> str:
    """1 case, 2,000 cases."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _signed(text: str) -> str:
    """A minus is as wide as a plus, and nothing has no sign."""
    return text[1:] if not text.strip("+-0.") else text.replace("-", "−")
