"""What goes with a product, or with a cart: of other kinds, for the same people, and never noise."""

import pytest

from schemas.products import Product
from services.recommender.pipeline.kinds import audience_of, drop_audience, kind_of, topic_of
from services.recommender.pipeline.request import RecommendationResult
from tests.support.models import behaviour
from tests.support.pipeline import PipelineShop, ids, product

# By number: a shirt for men, trousers for men and for women, a tent, a sleeping bag, a lamp, and two of each
# that nobody looks at together with others.
SHELVES: dict[int, tuple[tuple[str, ...], str]] = {
    0: (("Men", "Tops", "Shirts"), "shirt"),
    1: (("Men", "Trousers", "Chinos"), "trousers"),
    2: (("Women", "Trousers", "Chinos"), "trousers"),
    3: (("Women", "Tops", "Shirts"), "shirt"),
    4: (("Outdoor", "Camping", "Tents"), "tent"),
    5: (("Outdoor", "Camping", "Sleeping bags"), "sleeping bag"),
    6: (("Home", "Lighting", "Lamps"), "lamp"),
    7: (("Outdoor", "Packs", "Backpacks"), "backpack"),
}
VISITS = [
    *[["p0", "p1", "p2", "p3"]] * 4, *[["p4", "p5", "p7"]] * 4, *[["p6", "p4"]], *[["p6", "p0"]] * 2,
    *[["p6", "p8"]] * 6, *[["p9", "p8"]] * 6,
]  # fmt: skip


@pytest.fixture
def shelves(shop: PipelineShop) -> PipelineShop:
    for number, (category, type_) in SHELVES.items():
        shop.put(number, category=category, type=type_, updated_at=1, brand=None, popularity=0.5)
    shop.model = behaviour(VISITS)
    return shop


def partners(made: RecommendationResult) -> dict[str, str | None]:
    return {item.product_id: item.reason.product_id for item in made.row if item.reason is not None}


async def test_other_topics_are_other_shelves_whoever_they_are_for(shelves: PipelineShop) -> None:
    made = await shelves.ask("complement_topic", 6, product_id="p0")
    assert ids(made) == ["p1", "p2"]  # those for men first; the women's shirt is of the same topic
    assert made.notice == "only 2 products go with it"
    assert {item.reason.visits for item in made.row if item.reason is not None} == {4}


async def test_what_stands_on_the_shelf_beside_is_no_other_topic_but_another_type(
    shelves: PipelineShop,
) -> None:
    assert ids(await shelves.ask("complement_topic", 6, product_id="p4")) == ["p7"]
    assert set(ids(await shelves.ask("complement_type", 6, product_id="p4"))) == {"p5", "p7"}


async def test_what_stands_beside_everything_goes_with_nothing(shelves: PipelineShop) -> None:
    # Lamps were looked at beside tents and shirts, and more often without.
    for about in ("p0", "p4"):
        assert "p6" not in ids(await shelves.ask("complement_type", 6, product_id=about))


async def test_of_a_cart_all_is_asked_and_nothing_comes_back(shelves: PipelineShop) -> None:
    made = await shelves.ask("complement_type", 6, product_ids=("p0", "p4", "unknown"))
    assert partners(made) == {"p1": "p0", "p2": "p0", "p5": "p4", "p7": "p4"}
    assert {item.why for item in made.row} == {"goes with Product 0", "goes with Product 4"}
    assert made.causes.keys() == {"p0", "p4"}
    assert made.notice == "only 4 products go with them"
    # What is in the cart already, or of a kind that is, is not offered once more.
    made = await shelves.ask("complement_type", 6, product_ids=("p0", "p1", "p4"))
    assert set(ids(made)) == {"p5", "p7"}
    made = await shelves.ask("complement_type", 6, product_ids=("unknown",))
    assert (made.row, made.fallback) == ((), "unknown_product")


async def test_a_short_row_knows_what_it_waits_for(shelves: PipelineShop) -> None:
    shelves.put(7, **_fields(7), availability="out_of_stock", updated_at=2)
    made = await shelves.ask("complement_topic", 6, product_id="p4")
    assert (ids(made), made.absent) == ([], frozenset({"p7"}))


def _fields(number: int) -> dict[str, object]:
    category, type_ = SHELVES[number]
    return {"category": category, "type": type_, "brand": None, "popularity": 0.5}


def of(*category: str, tags: tuple[str, ...] = (), type_: str | None = None) -> Product:
    return product(0, category=category, tags=tags, type=type_)


def test_a_shelf_is_the_same_for_everybody() -> None:
    assert (
        drop_audience(("Women", "Shoes", "Boots"))
        == drop_audience(("Shoes", "Men's", "Boots"))
        == ("Shoes", "Boots")
    )
    assert drop_audience(("Women",)) == ("Women",)
    assert topic_of(of("Women", "Shoes", "Boots")) == topic_of(of("Kids", "Shoes", "Sandals")) == "Shoes"
    assert topic_of(of("Women", "Dresses")) == "Dresses"
    assert topic_of(of()) == ""
    assert kind_of(of("Women", "Dresses")) == kind_of(of("Girls", "Dresses")) == "Dresses"
    assert kind_of(of("Women", "Dresses", type_="gown")) == "gown"


def test_an_audience_is_told_by_a_category_or_a_tag() -> None:
    men, kids = audience_of(of("Men", "Shoes")), audience_of(of("Boys", "Shoes"))
    assert men
    assert kids
    assert men & kids == 0
    assert audience_of(of("Shoes", tags=("men's",))) == audience_of(of("Menswear")) == men
    assert audience_of(of("Shoes", tags=("red",))) == audience_of(of("Manchester prints")) == 0
