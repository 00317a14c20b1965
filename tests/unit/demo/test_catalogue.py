"""The demo's catalogue: the same from the same seed, varied enough to recommend from, readable as a feed."""

import hashlib
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.products import decode
from storefront.demo.catalogue.drawing import SHAPES, Look, draw
from storefront.demo.catalogue.generator import made
from storefront.demo.catalogue.palette import COLOURS
from storefront.demo.catalogue.patterns import PATTERNS
from storefront.demo.catalogue.writing import write

DRAWN = "65fb8126235af52208c5aaa17dcb74dc1a4d631db91252a4a697025a4a6146a3"


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert write(tmp_path / name, 12, 3, lambda: None)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.*"))
    assert len(files) == 26
    assert all(
        (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()
        for path in files
    )


def test_a_catalogue_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    drawn: list[int] = []
    assert write(tmp_path, 5, 3, lambda: drawn.append(1))
    assert not write(tmp_path, 5, 3, lambda: drawn.append(1))
    assert write(tmp_path, 6, 3, lambda: drawn.append(1))
    assert len(drawn) == 11


def test_every_line_is_a_product_whose_picture_is_there(tmp_path: Path) -> None:
    write(tmp_path, 20, 1, lambda: None)
    products = [decode(line) for line in (tmp_path / "products.jsonl").read_bytes().splitlines()]
    assert [product.product_id for product in products] == [f"p{number:04d}" for number in range(1, 21)]
    assert all(product.image_url and (tmp_path / product.image_url).is_file() for product in products)
    with Image.open(tmp_path / "pictures" / "p0001-640.webp") as large:
        assert large.size == (640, 640)


def test_the_assortment_is_varied() -> None:
    products = [each.product for each in made(2400, 7)]
    assert len({product.type for product in products}) >= 25
    assert {product.top_category for product in products} == {"Women", "Men", "Kids", "Home", "Outdoor"}
    assert len({product.brand for product in products}) >= 20
    assert Counter(product.availability for product in products)["in_stock"] > 2200


@pytest.mark.parametrize("seed", [7, 8])
def test_no_two_products_have_one_name(seed: int) -> None:
    names = [each.product.name for each in made(5_000, seed)]
    assert len(set(names)) == len(names)


def test_shape_colour_and_pattern_are_visible() -> None:
    def pixels(look: Look) -> np.ndarray:
        return np.asarray(draw(look, 64, random.Random(1)), dtype=float)

    plain = pixels(Look("mug", "red", "plain"))
    for other in (Look("mug", "blue", "plain"), Look("mug", "red", "striped"), Look("chair", "red", "plain")):
        assert abs(plain - pixels(other)).mean() > 4


def test_the_drawings_are_those_that_the_shipped_model_knows() -> None:
    """Another digest means other pictures: raise the generator's WORDING, and see that the model knows them:
    `evaluation.retrieval` of its checkpoint."""
    looks = [
        Look(shape, colour, pattern)
        for shape, colour, pattern in zip(SHAPES, COLOURS, [*PATTERNS] * 3, strict=False)
    ]
    pixels = b"".join(draw(look, 128, random.Random(7)).tobytes() for look in looks)
    assert hashlib.sha256(pixels).hexdigest() == DRAWN


def test_every_shape_can_be_drawn() -> None:
    for shape in SHAPES:
        assert draw(Look(shape, "green", "dotted"), 32, random.Random(1)).size == (32, 32)
