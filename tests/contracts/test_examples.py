"""The golden messages are what the structs read and write; the README shows the same."""

from pathlib import Path

import msgspec
import pytest

from schemas import events, jsonschema, products
from schemas.events import Event
from schemas.products import Product

EXAMPLES = jsonschema.FOLDER.parent / "examples"
EVENTS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem != "product")


def decoded(path: Path) -> Event | Product:
    decode = products.decode if path.stem == "product" else events.decode
    return decode(path.read_bytes())


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
    message = decoded(path)
    encode = products.encode(message) if isinstance(message, Product) else events.encode(message)
    assert msgspec.json.decode(encode) == msgspec.json.decode(path.read_bytes())


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_example_event_makes_sense(path: Path) -> None:
    event = events.decode(path.read_bytes())
    assert events.check(event) is None
    assert event.type == path.stem


def test_a_purchase_is_about_all_its_items() -> None:
    assert events.decode((EXAMPLES / "purchase.json").read_bytes()).products() == ("p0001", "p0042")
