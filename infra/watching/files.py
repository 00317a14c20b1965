"""The files that are made from code, and what they hold: a test holds the two equal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from infra.alarms import FOLDER, ROOT
from infra.watching.engine_dashboards import EMBEDDER, KAFKA, LAG, QDRANT
from infra.watching.objectives import groups
from infra.watching.shop_dashboards import CLICK, ROWS, SOCKETS
from infra.watching.trials import trials

DASHBOARDS: Final = (CLICK, ROWS, SOCKETS, LAG, EMBEDDER, KAFKA, QDRANT)
DASHBOARD_FOLDER: Final = ROOT / "infra" / "grafana" / "dashboards"
RULES: Final = FOLDER / "slo.yml"
TRIALS: Final = FOLDER / "tests" / "alarms.yml"
HEAD: Final = "# Made by `python -m infra.watching` from infra/watching; a test holds it against that.\n"


def contents() -> Iterator[tuple[Path, str]]:
    """Each file and its text."""
    for each in DASHBOARDS:
        yield (
            DASHBOARD_FOLDER / f"{each.name}.json",
            json.dumps(each.model(), indent=1, ensure_ascii=False) + "\n",
        )
    for path, held in ((RULES, {"groups": groups()}), (TRIALS, trials())):
        yield path, HEAD + yaml.safe_dump(held, sort_keys=False, width=10_000)


def write_all() -> None:
    """Writes them."""
    for path, text in contents():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
