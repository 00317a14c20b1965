"""What a shop embeds: its own tests under node, its size, and events that the contracts accept."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.stack.broker import ROOT
from schemas import events, jsonschema
from storefront.demo.assets import LAZY_MODULES, MODULES
from tests.support.machine import skip_or_fail

HERE = Path(__file__).parent
STOREFRONT = ROOT / "storefront"
EXAMPLES = jsonschema.FOLDER.parent / "examples"
NAMED = ("tracker.js", "live.js")  # by a page; they bring the rest
GZIPPED_MAX_BYTES = 10 * 1024
ELEMENT_GZIPPED_MAX_BYTES = 29 * 1024  # all that a page with rows loads at once
IMPORTED = re.compile(r"""(?:\bfrom\s+|\bimport\s+)["']([^"']+)["']""")
IMPORTED_LATE = re.compile(r"""\bimport\(["']([^"']+)["']\)""")
EMBED = (ROOT / "infra" / "docs" / "embed.md").read_text()


def node(*arguments: str) -> str:
    if shutil.which("node") is None:
        skip_or_fail("the storefront's modules are tested with node")
    done = subprocess.run(["node", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@cache
def emit() -> dict[str, dict[str, Any]]:
    lines = node(str(HERE / "emitted.mjs")).splitlines()
    return {event["type"]: event for event in map(json.loads, lines)}


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_under_node(path: Path) -> None:
    # Without --test, which would start one more process a file: a test that fails is a status all the same.
    node("--test-reporter=spec", str(path))


def gzip_sizes(names: Iterable[str]) -> dict[str, int]:
    return {name: len(gzip.compress((STOREFRONT / name).read_bytes())) for name in names}


def test_tracker_and_live_rows_are_under_10_kb_gzipped() -> None:
    sizes = gzip_sizes(NAMED)
    assert sum(sizes.values()) < GZIPPED_MAX_BYTES, sizes


def test_with_the_element_it_is_under_29_kb_gzipped() -> None:
    sizes = gzip_sizes(path.name for path in STOREFRONT.glob("*.js") if path.name not in LAZY_MODULES)
    assert sum(sizes.values()) < ELEMENT_GZIPPED_MAX_BYTES, sizes


def test_the_page_on_embedding_tells_both_sizes() -> None:
    assert f"under {GZIPPED_MAX_BYTES // 1024} KB together" in EMBED
    assert f"they are {ELEMENT_GZIPPED_MAX_BYTES // 1024} KB" in EMBED


def imports(name: str, form: re.Pattern[str] = IMPORTED) -> list[str]:
    code = re.sub(r"/\*.*?\*/", "", (STOREFRONT / name).read_text(), flags=re.DOTALL)
    return form.findall(code)


def test_the_tracker_imports_nothing_but_what_says_why_it_cannot_work() -> None:
    assert imports("tracker.js") == []
    assert imports("tracker.js", IMPORTED_LATE) == ["./diagnosis.js"]


def test_modules_import_their_siblings_alone_and_the_demo_serves_them_all() -> None:
    at_once = {name: imports(name) for name in MODULES if name.endswith(".js")}
    late = {f"./{name}" for name in LAZY_MODULES}
    assert {*at_once, *LAZY_MODULES} == {path.name for path in STOREFRONT.glob("*.js")}
    assert {each for found in at_once.values() for each in found} <= {f"./{name}" for name in at_once}
    assert {each for name in LAZY_MODULES for each in imports(name)} <= late | {
        f"./{name}" for name in at_once
    }
    everything = (*at_once, *LAZY_MODULES)
    assert late <= {each for name in everything for each in imports(name, IMPORTED_LATE) + imports(name)}
    assert "./recommendations.js" in at_once["live.js"]  # so that a page that includes it has the element


@pytest.mark.parametrize("kind", ["view_item", "add_to_cart", "purchase", "search", "view_item_list"])
def test_an_emitted_event_is_shaped_like_its_example(kind: str) -> None:
    example = json.loads((EXAMPLES / f"{kind}.json").read_text())
    event = emit()[kind]
    changing = {"event_id", "occurred_at", "visitor_id", "context"}
    assert set(event) == set(example)
    assert {name: event[name] for name in set(event) - changing} == {
        name: example[name] for name in set(example) - changing
    }
    assert set(example["context"]) <= set(event["context"])


@pytest.mark.parametrize("kind", ["view_item", "add_to_cart", "purchase", "search", "view_item_list"])
def test_an_emitted_event_is_decoded_by_the_contracts(kind: str) -> None:
    event = events.decode(json.dumps(emit()[kind]).encode())
    assert events.check(event) is None
    assert event.type == kind
