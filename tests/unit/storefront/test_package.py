"""What a shop embeds: how much it weighs, and that the package holds all of it and nothing else."""

import gzip
import json
import re
import shutil
import subprocess
from typing import Final, get_args

import pytest

from infra.stack.broker import ROOT
from schemas.events import EVENT_TYPES
from schemas.live import PageType, ReasonKind, Recommendations, RecommendedItem, Slot, SlotKind
from storefront.demo.assets import LAZY_MODULES, MODULES
from tests.support.machine import skip_or_fail

STOREFRONT: Final = ROOT / "storefront"
LAZY: Final = set(LAZY_MODULES)
TRACKER_AND_LIVE: Final = 10 * 1024  # bytes, gzipped
ELEMENT: Final = 29 * 1024  # all that a page with rows loads at once
EMBED: Final = (ROOT / "infra" / "docs" / "embed.md").read_text()


def weigh(*names: str) -> int:
    return sum(len(gzip.compress((STOREFRONT / name).read_bytes())) for name in names)


def modules() -> set[str]:
    return {path.name for path in STOREFRONT.glob("*.js")}


def test_tracker_and_live_are_small_and_a_row_is_not_large() -> None:
    assert weigh("tracker.js", "live.js") <= TRACKER_AND_LIVE
    assert weigh(*modules() - LAZY) <= ELEMENT
    assert f"under {TRACKER_AND_LIVE // 1024} KB together" in EMBED
    assert f"they are {ELEMENT // 1024} KB" in EMBED


def test_what_is_rarely_needed_is_loaded_when_it_is() -> None:
    static: set[str] = set()
    for name in modules():
        text = (STOREFRONT / name).read_text()
        if name not in LAZY:
            static |= set(re.findall(r'^import .*"\./([\w.]+)";$', text, re.M))
    assert static & LAZY == set()


def test_the_demo_and_the_package_have_all_of_it() -> None:
    assert {*MODULES, *LAZY_MODULES} == modules() | {"eddy.css"}
    if shutil.which("npm") is None:
        skip_or_fail("the package is looked at with npm")
    done = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--offline"],
        cwd=STOREFRONT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    [packed] = json.loads(done.stdout)
    types = {path.name for path in STOREFRONT.glob("*.d.ts")}
    assert {each["path"] for each in packed["files"]} == {
        *MODULES,
        *LAZY_MODULES,
        *types,
        "package.json",
    }


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("SlotKind", get_args(SlotKind)),
        ("PageType", get_args(PageType)),
        ("ReasonKind", get_args(ReasonKind)),
    ],
)
def test_types_know_what_the_protocol_knows(name: str, known: tuple[str, ...]) -> None:
    [told] = re.findall(rf"export type {name} =([^;]+);", (STOREFRONT / "live.d.ts").read_text())
    assert re.findall(r'"(\w+)"', told) == [*known]


def test_types_have_every_field_and_every_event() -> None:
    live = (STOREFRONT / "live.d.ts").read_text()
    for name, struct in {"Slot": Slot, "Item": RecommendedItem, "Recommendations": Recommendations}.items():
        [body] = re.findall(rf"export interface {name} \{{(.*?)^\}}", live, re.M | re.S)
        assert set(re.findall(r"^  (\w+)\??:", body, re.M)) == set(struct.__struct_fields__), name
    [events] = re.findall(r"export type EventType =([^;]+);", (STOREFRONT / "tracker.d.ts").read_text())
    assert re.findall(r'"(\w+)"', events) == [*EVENT_TYPES]
