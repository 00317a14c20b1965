"""The npm package: it holds all that a shop embeds and nothing else, and its types are the protocol's."""

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


def modules() -> set[str]:
    return {path.name for path in STOREFRONT.glob("*.js")}


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
