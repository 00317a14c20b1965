"""What `doctor` says: a line for each thing that was looked at."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

State = Literal["ok", "warn", "bad"]

WORSE: Final[tuple[State, ...]] = ("ok", "warn", "bad")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `what_to_do` is empty where nothing is to be done."""

    check: str
    state: State
    found: str
    what_to_do: str = ""


class Report(msgspec.Struct, frozen=True):
    """All lines; `at` is Unix ms, `state` the worst of them."""

    at: int
    seconds: float
    state: State
    findings: tuple[Finding, ...]


def worst(states: Iterable[State]) -> State:
    """The worst of these; ok where there are none."""
    return max(states, key=WORSE.index, default="ok")


def unknown(check: str) -> Finding:
    """What can only be asked of a broker, while none answers."""
    return Finding(check, "warn", "not looked at: no broker answers", "see the line of the broker")
