"""What two products have in common by name."""

import pytest

from schemas.products import Product
from services.recommender.pipeline.about_product import compare_products


def product(*category: str, brand: str | None = None, type_: str | None = None) -> Product:
    return Product(
        product_id="p",
        name="x",
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=category,
        brand=brand,
        type=type_,
    )


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (("Men", "Shoes"), ("Men", "Shoes"), 1.0),
        (("Men", "Shoes"), ("Men", "Shirts"), 1 / 2),
        (("Men", "Shoes"), ("Men", "Shoes", "Boots"), 2 / 3),
        (("Men", "Shoes"), ("Women", "Shoes"), 0.0),
        ((), ("Men",), 0.0),
        ((), (), 0.0),
    ],
)
def test_paths_have_in_common_what_is_the_same_from_the_top_on(
    one: tuple[str, ...], other: tuple[str, ...], common: float
) -> None:
    assert compare_products(product(*one), product(*other))["category"] == pytest.approx(common)
    assert compare_products(product(*other), product(*one))["category"] == pytest.approx(common)


def test_names_are_the_same_or_not_and_no_name_is_no_name() -> None:
    boot = product(brand="Alma", type_="boot")
    assert compare_products(boot, product(brand="Alma", type_="shoe")) == {
        "category": 0,
        "brand": 1,
        "type": 0,
    }
    assert compare_products(product(), product()) == {"category": 0, "brand": 0, "type": 0}
