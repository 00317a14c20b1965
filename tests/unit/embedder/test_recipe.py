"""What segments are made from, and the hashes that name it."""

from typing import Any

import numpy as np
import pytest

from schemas.products import Product
from schemas.vectors import unpack
from services.embedder.recipe import MODEL_SEGMENTS, Recipe, Segment, Segments, sources, text_of
from tests.support.embedding import LAYOUT, MODELS, RECIPE, one_hot, product


def cheap(made: Product, kept: Segments | None = None) -> dict[str, Segment]:
    return RECIPE.without_model(made, RECIPE.hashes(made), kept or {})


@pytest.mark.parametrize(
    ("field", "value", "changed"),
    [
        ("name", "Blue boot", {"text", "caption"}),
        ("description", "Lined.", {"text"}),
        ("brand", "Casa Verde", {"text", "brand"}),
        ("image_url", "pictures/q.png", {"image"}),
        ("category", ("Men",), {"category"}),
        ("type", "shoes", {"type"}),
        ("price", 10.0, {"price"}),
        ("popularity", 0.5, {"popularity"}),
        ("availability", "out_of_stock", set()),
        ("updated_at", 2_000, set()),
        ("tags", ("new",), set()),
    ],
)
def test_a_change_changes_only_the_hashes_of_what_it_touches(
    field: str, value: Any, changed: set[str]
) -> None:
    before, after = RECIPE.hashes(product()), RECIPE.hashes(product(**{field: value}))
    assert {name for name in before if before[name] != after[name]} == changed


def test_another_model_is_another_hash_of_its_segments_alone() -> None:
    other = Recipe(LAYOUT, MODELS | {"text": "t2"})
    before, after = RECIPE.hashes(product()), other.hashes(product())
    assert {name for name in before if before[name] != after[name]} == {"text"}


def test_a_product_that_says_little_has_few_segments() -> None:
    bare = product(description=None, brand=None, category=(), type=None, popularity=None, image_url=None)
    assert set(sources(bare)) == {"text", "caption", "price"}
    assert text_of(bare) == "Red boot"
    assert text_of(product()) == "Red boot\nWaterproof.\nElvada"


def test_a_message_is_put_together_and_taken_apart_again() -> None:
    made = cheap(product())
    made["text"] = RECIPE.segment("text", RECIPE.hashes(product())["text"], one_hot(2, 6))
    message = RECIPE.assemble(product(), made)
    content = unpack(message.content)
    assert len(content) == LAYOUT.width
    assert content[LAYOUT.slices["text"]].tolist() == [0, 0, 1, 0, 0, 0]
    assert not content[LAYOUT.slices["image"]].any()
    assert set(message.hashes) == {"text", "category", "brand", "type", "price", "popularity"}
    assert message.models == {"text": "t1"}
    assert RECIPE.split(message) == made


def test_every_segment_without_a_model_has_unit_length() -> None:
    content = unpack(RECIPE.assemble(product(), cheap(product())).content)
    for name, span in LAYOUT.slices.items():
        expected = 0 if name in MODEL_SEGMENTS else 1
        assert np.linalg.norm(content[span]) == pytest.approx(expected, abs=2e-3)


def test_what_is_still_right_is_not_made_again() -> None:
    made = cheap(product())
    again = cheap(product(price=1.0), made)
    assert all((again[name] is made[name]) == (name != "price") for name in made)
