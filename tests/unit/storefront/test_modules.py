"""tracker.js and live.js: their own tests under node, their size, and events that the contracts accept."""

import gzip
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.stack.broker import ROOT
from schemas import events, jsonschema
from tests.conftest import missing

HERE = Path(__file__).parent
STOREFRONT = ROOT / "storefront"
EXAMPLES = jsonschema.FOLDER.parent / "examples"
MODULES = ("tracker.js", "live.js")
GZIPPED_MAX_BYTES = 10 * 1024


def node(*arguments: str) -> str:
    if shutil.which("node") is None:
        missing("the storefront's modules are tested with node")
    done = subprocess.run(["node", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@cache
def emitted() -> dict[str, dict[str, Any]]:
    lines = node(str(HERE / "emitted.mjs")).splitlines()
    return {event["type"]: event for event in map(json.loads, lines)}


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_under_node(path: Path) -> None:
    node("--test", "--test-reporter=spec", str(path))


def test_together_they_are_under_10_kb_gzipped() -> None:
    sizes = {name: len(gzip.compress((STOREFRONT / name).read_bytes())) for name in MODULES}
    assert sum(sizes.values()) < GZIPPED_MAX_BYTES, sizes


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_nothing(name: str) -> None:
    lines = (STOREFRONT / name).read_text().splitlines()
    assert not [line for line in lines if line.startswith("import ")]


@pytest.mark.parametrize("kind", ["view_item", "add_to_cart", "purchase", "search", "view_item_list"])
def test_an_emitted_event_is_shaped_like_its_example(kind: str) -> None:
    example = json.loads((EXAMPLES / f"{kind}.json").read_text())
    event = emitted()[kind]
    changing = {"event_id", "occurred_at", "visitor_id", "context"}
    assert set(event) == set(example)
    assert {name: event[name] for name in set(event) - changing} == {
        name: example[name] for name in set(example) - changing
    }
    assert set(example["context"]) <= set(event["context"])


@pytest.mark.parametrize("kind", ["view_item", "add_to_cart", "purchase", "search", "view_item_list"])
def test_an_emitted_event_is_decoded_by_the_contracts(kind: str) -> None:
    event = events.decode(json.dumps(emitted()[kind]).encode())
    assert events.check(event) is None
    assert event.type == kind
