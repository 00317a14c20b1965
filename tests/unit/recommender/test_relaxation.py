"""Which wish of a search gives way where nothing fits, held against the filters themselves."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from schemas.products import Product
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.pipeline.relaxation import WISHES, describe, relax, wishes
from services.recommender.search.query import Inferred
from services.recommender.search.search import Search

SHOWN = Where(availability=AVAILABLE)


Row = tuple[str, str, str, float, str]  # type, top category, brand, price, tag


def product(number: int, row: Row) -> Product:
    kind, top, brand, price, tag = row
    return Product(
        product_id=f"p{number}",
        name="x",
        price=price,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(top, f"{kind}s"),
        brand=brand,
        type=kind,
        tags=(tag,),
    )


KINDS, TOPS, BRANDS, TAGS = ("coat", "cap"), ("Kids", "Men"), ("A", "B"), ("red", "blue")
ROWS = st.tuples(
    st.sampled_from(KINDS), st.sampled_from(TOPS), st.sampled_from(BRANDS), st.sampled_from((5.0, 50.0)),
    st.sampled_from(TAGS),
)  # fmt: skip


@st.composite
def draw_wishes(draw: st.DrawFn) -> Inferred:
    """Some wishes of one search."""
    one = st.integers(0, 1)
    fields: dict[str, object] = {
        "types": KINDS[: draw(one)],
        "categories": TOPS[: draw(one)],
        "brands": BRANDS[: draw(one)],
        "not_tags": TAGS[: draw(one)],
        "price_max": draw(st.sampled_from((None, 10.0, 1.0))),
    }
    return Inferred(**fields)  # type: ignore[arg-type]


@given(st.lists(ROWS, max_size=8), draw_wishes())
def test_as_few_wishes_give_way_as_can_and_each_is_counted(rows: list[Row], told: Inferred) -> None:
    products = [product(number, row) for number, row in enumerate(rows)]
    where = Search(told).narrow(SHOWN)
    found = relax(products, where, SHOWN, told)
    fitting = [each for each in products if where.allows(each)]
    if found is None:
        return
    assert not fitting
    assert any(found.where.allows(each) for each in products)
    without = {name: _without(name, where) for name in wishes(told, SHOWN)}
    counted = {name: sum(filters.allows(each) for each in products) for name, filters in without.items()}
    assert {each.parameter: each.products for each in found.counts} == counted
    assert (len(found.dropped) == 1) == any(counted.values())


def _without(parameter: str, where: Where) -> Where:
    return replace(where, **{field: getattr(SHOWN, field) for field in WISHES[parameter][0]})


@pytest.mark.parametrize(
    ("shelf", "dropped"), [("Jackets & coats", {"type"}), ("Tops", {"price"}), ("", {"price"})]
)
def test_a_type_gives_way_to_what_lies_beside_it(shelf: str, dropped: set[str]) -> None:
    """Cheap others, and dear ones of the type, of which there are fewer."""

    def of(number: int, kind: str, price: float, *path: str) -> Product:
        return replace_struct(product(number, (kind, "Kids", "A", price, "red")), category=("Kids", *path))

    others = [of(number, "other", 5.0, *filter(None, [shelf])) for number in range(5)]
    coats = [of(number, "coat", 50.0, "Jackets & coats", "Coats") for number in range(10, 12)]
    told = Inferred(types=("coat",), categories=("Kids",), price_max=10.0)
    found = relax([*others, *coats], Search(told).narrow(SHOWN), SHOWN, told)
    assert found is not None
    assert found.dropped == dropped


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Inferred(types=("coat",), categories=("Kids",), price_max=40.0), "coats for kids up to €40"),
        (Inferred(categories=("Kids/Shoes", "Men/Shoes")), "shoes"),
        (Inferred(categories=("Women/Shoes",), brands=("Ilse",)), "shoes for women by Ilse"),
        (Inferred(types=("dress", "skirt"), price_min=20.0), "dresses or skirts from €20"),
        (Inferred(types=("hat",), price_min=1.0, price_max=2_000.5), "hats from €1 to €2,000.50"),
        (Inferred(price_near=50.0, price_min=40.0, price_max=60.0), "products around €50"),
        (Inferred(types=("plant pot",), not_tags=("red",), not_brands=("A",)), "plant pots, not by A or red"),
    ],
)
def test_wishes_are_described_in_a_few_words(told: Inferred, words: str) -> None:
    assert describe(told, "EUR") == words
