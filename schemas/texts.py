"""Characters that no person types: refused where a text names something, taken out where it is read.

An id, brand or tag with a NUL in it would be another one than the same without, and nobody would see why. A
description with a vertical tab, as spreadsheets export it, is a description.
"""

import re
from collections.abc import Iterable
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


def check_names(named: Iterable[tuple[str, str | None]]) -> str | None:
    """Why one of these fields, each with its value, names nothing, as a sentence for its sender, or None."""
    for field, value in named:
        if value and (found := _CONTROL.search(value)):
            return f"{field}: holds a control character, U+{ord(found[0]):04X}, at place {found.start()}"
    return None


def clean(text: str | None) -> str | None:
    """A text for people, with a space for each control character but tabs and ends of lines."""
    return text and _UNREADABLE.sub(" ", text)
