"""What every reader of a feed yields: rows, and places that are no row; and how it tells of what is odd."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

# What is odd, and the text at fault, of the row that is read or converted just now. The row is taken anyhow.
Tell = Callable[[str, str], None]


def ignore(_what: str, _example: str) -> None:
    """For those who need not know."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be read; those after it can. `value` is the place or text at fault."""

    reason: str
    value: str = ""
    remedy: str = ""


class CutOff(Exception):
    """Nothing after this place can be read; the text says why."""


class BadValue(ValueError):
    """A cell that cannot be taken: `reason` names the field, `value` is the cell, `remedy` what to do."""

    def __init__(self, reason: str, value: object = "", remedy: str = "") -> None:
        self.reason = reason
        self.value = "" if value is None else str(value)[:80]
        self.remedy = remedy
        super().__init__(f"{reason}: {self.value!r}" if self.value else reason)
