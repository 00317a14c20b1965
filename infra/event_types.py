"""Writes what the browser's code knows of event types, from schemas.events: `python -m infra.event_types`."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from schemas.events import CLICKS, EVENT_TYPES

STOREFRONT: Final = Path(__file__).resolve().parents[1] / "storefront"
BEGIN: Final = "// Event types, by `python -m infra.event_types`:\n"
END: Final = "// (end of event types)\n"
WIDTH: Final = 116


def tracker() -> str:
    """For tracker.js: which events it takes, and what they need."""
    without = [type_ for type_, kind in EVENT_TYPES.items() if not kind.needs_product]
    clicks = [type_ for type_ in EVENT_TYPES if type_ in CLICKS]
    return _set("TYPES", EVENT_TYPES) + _set("WITHOUT_PRODUCT", without) + _set("ABOUT_ONE", clicks)


def profile() -> str:
    """For the demo shop's page of a visitor: what each event is called there."""
    deeds = (f"{type_}: {_text(kind.done_by_you)}" for type_, kind in EVENT_TYPES.items())
    return _wrapped("const DEEDS = {", deeds, "};")


FILES: Final[Mapping[Path, Callable[[], str]]] = {
    STOREFRONT / "tracker.js": tracker,
    STOREFRONT / "demo" / "static" / "profile.js": profile,
}


def generate(file: Path) -> str:
    """The file's text with its part about event types written anew."""
    before, _, rest = file.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + FILES[file]() + END + after


def _set(name: str, types: Iterable[str]) -> str:
    return _wrapped(f"const {name} = new Set([", map(_text, types), "]);")


def _wrapped(begin: str, entries: Iterable[str], end: str) -> str:
    """On one line where it fits."""
    lines = [""]
    for entry in entries:
        longer = f"{lines[-1]} {entry},".lstrip()
        if len(longer) > WIDTH - 2:
            lines.append(f"{entry},")
        else:
            lines[-1] = longer
    if len(lines) == 1 and len(begin + lines[0] + end) <= WIDTH:
        return f"{begin}{lines[0].removesuffix(',')}{end}\n"
    return "\n".join((begin, *(f"  {line}" for line in lines), end, ""))


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    for file in FILES:
        file.write_text(generate(file))
