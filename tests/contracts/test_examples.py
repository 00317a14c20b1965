"""The golden messages are what the structs read and write; the README shows the same."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from schemas import (
    erasures,
    events,
    experiments,
    identities,
    impressions,
    jsonschema,
    models,
    products,
    rules,
)

EXAMPLES = jsonschema.FOLDER.parent / "examples"
MANIFEST = EXAMPLES / "manifest.json"


ROUND: dict[str, Callable[[bytes], bytes]] = {
    "product": lambda raw: products.encode(products.decode(raw)),
    "erasure": lambda raw: erasures.encode(erasures.decode(raw)),
    "model_release": lambda raw: models.encode(models.decode(raw)),
    "manifest": lambda raw: models.encode_manifest(models.decode_manifest(raw)),
    "identity": lambda raw: identities.encode(identities.decode(raw)),
    "rule": lambda raw: rules.encode(rules.decode(raw)),
    "experiment": lambda raw: experiments.encode(experiments.decode(raw)),
    "shown": lambda raw: impressions.encode(impressions.decode(raw)),
}
EVENTS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem not in ROUND)


def once_around(path: Path) -> bytes:
    """A message read and written again."""
    raw = path.read_bytes()
    return ROUND[path.stem](raw) if path.stem in ROUND else events.encode(events.decode(raw))


def test_the_examples_are_there() -> None:
    assert {path.stem for path in EVENTS} >= {
        "view_item",
        "add_to_cart",
        "purchase",
        "search",
        "view_item_list",
    }


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_an_example_keeps_every_field_on_its_way(path: Path) -> None:
    assert msgspec.json.decode(once_around(path)) == msgspec.json.decode(path.read_bytes())


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_example_event_makes_sense(path: Path) -> None:
    event = events.decode(path.read_bytes())
    assert events.check(event) is None
    assert event.type == path.stem


def test_a_purchase_is_about_all_its_items() -> None:
    assert events.decode((EXAMPLES / "purchase.json").read_bytes()).products() == ("p0001", "p0042")


def test_an_equal_manifest_has_equal_bytes_and_so_one_digest() -> None:
    manifest = models.decode_manifest(MANIFEST.read_bytes())
    backwards = msgspec.structs.replace(
        manifest,
        files=dict(reversed(list(manifest.files.items()))),
        counts=dict(reversed(list(manifest.counts.items()))),
    )
    assert models.encode_manifest(backwards) == models.encode_manifest(manifest)


def test_a_release_remembers_what_it_takes_the_place_of() -> None:
    release = models.decode((EXAMPLES / "model_release.json").read_bytes())
    assert release.previous is not None
    assert release.released != release.previous
    assert release.released.digest == release.digest
