"""The chart's README: how to install it, and a table of its values."""

import json
from typing import Final

from infra.helm.values import CHART, Value, read_keys

TEMPLATE: Final = CHART / "README.tmpl.md"
PLACE: Final = "<!-- values -->"


def readme_text() -> str:
    """README.tmpl.md with the table in its place."""
    lines = ["| value | default | what it means |", "|---|---|---|"]
    lines += [f"| `{each.path}` | {_shown(each.default)} | {each.meaning} |" for each in read_keys()]
    return TEMPLATE.read_text().replace(PLACE, "\n".join(lines))


def _shown(default: Value) -> str:
    if default in ("", None):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"
