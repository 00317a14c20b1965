"""What readers give: rows, rows that could not be read, and the end where a file was cut off."""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be read; those after it can."""

    reason: str


class CutOff(Exception):
    """Nothing after this place can be read; the text says why."""
