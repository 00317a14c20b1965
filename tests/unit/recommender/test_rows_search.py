"""The row of a search: words, bounds, wishes, the visitor's taste, and what the caller says instead."""

from pathlib import Path

import numpy as np
import pytest

from services.model.content import PROFILES
from services.recommender.api.parameters import RowParameters, SearchParameters, overrides
from services.recommender.index.port import Where
from services.recommender.search.query import Inferred
from services.recommender.search.query_vectors import WordVector
from services.recommender.search.search import Search, Searcher, UnderstoodBy
from tests.support.pipeline import COUNT, SHOWN, PipelineShop, content, ids, product, sources

WORDS = WordVector(np.ones(8, np.float32), np.ones(4, np.float32))


class AllWords:
    """An embedder in this process, to whose mind all words are the same."""

    async def vectors(self, _text: str) -> WordVector:
        return WORDS


class Told:
    """Understands every query as what it was told."""

    def __init__(self, inferred: Inferred) -> None:
        self._inferred = inferred

    async def understand(self, _query: str) -> tuple[Inferred, UnderstoodBy]:
        return self._inferred, "parser"


async def search_for(inferred: Inferred, **given: object) -> Search:
    """A search of words that are understood so, with parameters as a request gives them."""
    row = {name: value for name, value in given.items() if name in RowParameters.model_fields}
    own = {name: value for name, value in given.items() if name in SearchParameters.model_fields}
    told = overrides(given, RowParameters(**row), SearchParameters(**own))
    searcher = Searcher(Told(inferred), AllWords())  # type: ignore[arg-type]
    return await searcher.search("words", told)


async def test_what_reads_and_looks_like_the_words_comes_first(shop: PipelineShop) -> None:
    made = await shop.search(Inferred(description="lamps"), like="p1")
    assert {item.category for item in made.row} == {("Lamps",)}
    assert set(sources(made).values()) == {"content"}
    assert (made.fallback, made.notice) == (None, None)
    assert {item.why for item in made.row} <= {
        "its description fits your words",
        "its picture fits your words",
        "its name fits your words",
    }


async def test_all_that_has_the_wished_tags_comes_before_what_is_only_close(shop: PipelineShop) -> None:
    told = Inferred(description="lamp", tags=("red",), categories=("Lamps",))
    made = await shop.search(told, k=6, like="p1")
    red = [each for each in ids(made) if product(int(each[1:])).tags]
    assert set(ids(made)[:3]) == set(red) == {"p4", "p16", "p28"}
    assert [item.source for item in made.row] == ["content"] * 3 + ["relaxed"] * 3
    assert {item.why for item in made.row[3:]} == {"close, but not red"}
    assert (await shop.search(told, k=3, like="p1")).row == made.row[:3]


async def test_a_wish_is_kept_where_only_taste_or_popularity_orders(shop: PipelineShop) -> None:
    made = await shop.search(Inferred(tags=("red",)), k=10)
    assert [item.source for item in made.row].count("relaxed") == 2
    assert all(product(int(each[1:])).tags for each in ids(made)[:8])


async def test_all_of_one_brand_are_found_though_rows_are_mixed_by_brand(tmp_path: Path) -> None:
    shop = PipelineShop(tmp_path / "index", brand_max=2)
    named = await shop.search(Inferred(brands=("Brand 1",), description="x"), k=6, like="p1")
    assert {item.brand for item in named.row} == {"Brand 1"}
    assert len(named.row) == 6
    # Nobody asked for brands: they are mixed, as long as there are others.
    mixed = [item.brand for item in (await shop.search(Inferred(description="x"), k=10, like="p1")).row]
    assert max(map(mixed.count, mixed)) == 2
    everything = await shop.search(Inferred(description="x"), k=COUNT, like="p1")
    assert (len(everything.row), everything.notice) == (COUNT, None)
    # And all that has the wished-for tags still comes before what has not.
    shop.put(8, brand="Brand 0", tags=("red",), updated_at=1)
    shop.put(12, brand="Brand 0", tags=("red",), updated_at=1)
    red = await shop.search(Inferred(description="x", tags=("red",)), k=12, like="p1")
    assert [item.source for item in red.row] == ["content"] * 8 + ["relaxed"] * 4
    shop.index.close()


async def test_cheap_and_expensive_are_ends_and_near_is_a_place_between(shop: PipelineShop) -> None:
    def prices(made: object) -> list[float]:
        return [item.price for item in made.row]  # type: ignore[attr-defined]

    plain = {"popularity": 0.0}
    cheap = await shop.search(Inferred(weights={"price": -1.0}), weights=plain, diversity=0.0)
    dear = await shop.search(Inferred(weights={"price": 1.0}), weights=plain, diversity=0.0)
    near = await shop.search(Inferred(price_near=15.0), weights=plain, diversity=0.0)
    assert prices(cheap) == sorted(prices(cheap))
    assert max(prices(cheap)) == 6.0
    assert prices(dear) == [30.0, 29.0, 28.0, 27.0, 26.0, 25.0]
    assert all(12 <= price <= 18 for price in prices(near))
    assert (await shop.search(Inferred(price_near=15.0), explains=True)).row[0].parts is not None


async def test_bounds_and_exclusions_of_the_words_are_filters(shop: PipelineShop) -> None:
    told = Inferred(
        description="x",
        price_min=5.0,
        price_max=25.0,
        categories=("Shoes", "Lamps"),
        not_tags=("red",),
        not_brands=("Brand 2",),
        not_types=("Lamps of kind 0",),
    )
    made = await shop.search(told, k=COUNT, like="p1")
    expected = {
        each.product_id
        for each in map(product, range(COUNT))
        if 5 <= each.price <= 25
        and each.category != ("Tents",)
        and not each.tags
        and each.brand != "Brand 2"
        and each.type != "Lamps of kind 0"
    }
    assert set(ids(made)) == expected
    assert made.notice == f"only {len(expected)} products fit the filters"


async def test_a_brand_that_is_only_likened_orders_and_does_not_filter(shop: PipelineShop) -> None:
    told = Inferred(description="shoes like BRAND 3", weights={"brand": 5.0})
    made = await shop.search(told, k=12)
    brands = [item.brand for item in made.row]
    assert set(brands[:6]) == {"Brand 3"}
    assert len(set(brands)) > 1
    for gone in range(3, COUNT, 5):
        shop.catalogue.remove(f"p{gone}")
    assert shop.catalogue.brands_in("shoes like Brand 3") == ()


async def test_two_visitors_find_different_products_by_the_same_words(shop: PipelineShop) -> None:
    lamps, tents = shop.session("p1", "p4"), shop.session("p2", "p5")

    async def find(**fields: object) -> list[str]:
        return ids(await shop.search(Inferred(description="x"), like="p0", k=8, **fields))

    nobody, one, other = await find(), await find(session=lamps), await find(session=tents)
    assert len({tuple(nobody), tuple(one), tuple(other)}) == 3
    plain = [await find(session=each, weights={"session": 0.0}) for each in (lamps, tents)]
    assert plain == [nobody, nobody]
    strong = await shop.search(
        Inferred(description="x"), like="p0", session=lamps, weights={"session": 9.0}, diversity=0.0
    )
    assert {item.category for item in strong.row} == {("Lamps",)}


async def test_without_words_vectors_the_filters_still_hold_and_the_row_says_so(shop: PipelineShop) -> None:
    told = Inferred(description="stripes", categories=("Tents",))
    made = await shop.search(told)
    assert made.fallback == "words_away"
    assert {item.category for item in made.row} == {("Tents",)}


async def test_a_search_that_says_nothing_to_be_near_to_shows_what_is_popular(shop: PipelineShop) -> None:
    told = Inferred(categories=("Lamps",))
    made = await shop.search(told, k=3, diversity=0.0)
    assert ids(made) == ["p1", "p4", "p7"]
    assert (set(sources(made).values()), made.fallback) == ({"popular"}, None)
    shop.catalogue.count({"p13": 100.0})  # what visitors did lately counts, too
    assert ids(await shop.search(told, k=3, diversity=0.0)) == ["p13", "p1", "p4"]
    rare = await shop.search(told, k=3, weights={"popularity": -1.0}, diversity=0.0)
    assert ids(rare) == ["p28", "p25", "p22"]


async def test_while_the_index_is_away_what_is_popular_fits_the_filters_too(shop: PipelineShop) -> None:
    shop.index.away = True
    told = Inferred(description="x", categories=("Lamps",), tags=("red",))
    made = await shop.search(told, k=5, like="p1", explains=True)
    assert made.fallback == "index_away"
    assert set(ids(made)[:3]) == {"p4", "p16", "p28"}
    assert [item.source for item in made.row] == ["popular"] * 3 + ["relaxed"] * 2
    assert {item.category for item in made.row} == {("Lamps",)}


async def test_what_changes_while_the_second_question_is_asked_is_not_shown(shop: PipelineShop) -> None:
    def meanwhile(question: int) -> None:
        if question == 2:  # the first has found p4, p16 and p28
            shop.put(4, availability="out_of_stock", updated_at=1)
            shop.catalogue.remove("p16")

    shop.index.meanwhile = meanwhile
    told = Inferred(description="x", categories=("Lamps",), tags=("red",))
    made = await shop.search(told, k=6, like="p1")
    assert shop.index.questions == 2
    assert ids(made)[0] == "p28"
    assert not {"p4", "p16"} & set(ids(made))


async def test_the_parts_of_a_search_add_up_to_the_score_whatever_the_weights(shop: PipelineShop) -> None:
    weights = dict.fromkeys(PROFILES["search"], 0.3) | {"price": -0.5}
    made = await shop.search(
        Inferred(description="Brand 1"),
        like="p1",
        session=shop.session("p3"),
        weights=weights,
        explains=True,
    )
    for item in made.row:
        assert item.parts is not None
        assert {"text", "image", "caption", "brand", "price", "category"} <= item.parts.keys()
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=2e-3)


@pytest.mark.parametrize("name", PROFILES["search"])
async def test_every_weight_of_a_search_counts(shop: PipelineShop, name: str) -> None:
    scores = []
    for weight in (0.0, 5.0):
        made = await shop.search(
            Inferred(description="Brand 1"),
            like="p1",
            session=shop.session("p3"),
            weights={name: weight},
            k=COUNT,
        )
        scores.append({item.product_id: item.score for item in made.row})
    # Words say nothing of categories and types: their weights have nothing to weigh in a search.
    assert (scores[0] == scores[1]) == (name in ("category", "type"))


UNDERSTOOD = Inferred(
    description="stripes",
    price_min=5.0,
    price_max=20.0,
    price_near=10.0,
    categories=("Shoes",),
    brands=("Brand 1",),
    types=("Shoes of kind 1",),
    tags=("red",),
    not_tags=("wool",),
    not_brands=("Brand 2",),
    not_categories=("Hats",),
    not_types=("boot",),
)


async def test_what_the_caller_gives_stands_in_for_what_the_words_said() -> None:
    given = {
        "description": "dots",
        "price_max": 9.0,
        "price_near": 7.0,
        "category": ["Lamps/"],
        "brand": ["Brand 3", "Brand 4"],
        "without_tag": ["silk"],
        "tag": ["new"],
    }
    search = await search_for(UNDERSTOOD, **given)
    told = search.inferred
    assert (told.description, told.price_min, told.price_max, told.price_near) == ("dots", 5.0, 9.0, 7.0)
    assert (told.categories, told.brands, told.types) == (
        ("Lamps",),
        ("Brand 3", "Brand 4"),
        UNDERSTOOD.types,
    )
    assert (told.tags, told.not_tags, told.not_brands) == ((), ("silk",), ("Brand 2",))
    where = search.narrow(RowParameters(**given | {"description": ""}).where)
    assert where == Where(
        availability=SHOWN.availability,
        price_min=5.0,
        price_max=9.0,
        category=frozenset({"Lamps"}),
        brand=frozenset({"Brand 3", "Brand 4"}),
        type=frozenset({"Shoes of kind 1"}),
        tag=frozenset({"new"}),
        without_category=frozenset({"Hats"}),
        without_brand=frozenset({"Brand 2"}),
        without_type=frozenset({"boot"}),
        without_tag=frozenset({"silk"}),
    )


EMPTY: dict[str, object] = {
    "description": "", "price_min": "", "price_max": "", "price_near": "",
    "category": ["/"], "brand": [""], "type": [""], "tag": [""],
    "without_category": [""], "without_brand": [""], "without_type": [""], "without_tag": [""],
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
async def test_an_empty_parameter_takes_away_what_the_words_said(name: str) -> None:
    search = await search_for(UNDERSTOOD, **{name: EMPTY[name]})
    fields = Inferred.__struct_fields__
    changed = {field for field in fields if getattr(search.inferred, field) != getattr(UNDERSTOOD, field)}
    assert len(changed) == 1
    [field] = changed
    assert not getattr(search.inferred, field)
    assert (search.words is None) == (name == "description")
    parameters = RowParameters(**{name: EMPTY[name]} if name in RowParameters.model_fields else {})
    narrowed = search.narrow(parameters.where)
    if name in Where.__dataclass_fields__ and name != "tag":
        assert not getattr(narrowed, name)


async def test_nothing_given_leaves_what_the_words_said() -> None:
    search = await search_for(UNDERSTOOD, k=5)
    assert search.inferred == UNDERSTOOD
    assert search.words is WORDS
    assert not search.lacks_words


async def test_the_cheapest_of_what_has_the_wished_tags_comes_first(shop: PipelineShop) -> None:
    told = Inferred(description="red", tags=("red",), categories=("Lamps",), order="cheapest")
    made = await shop.search(told, k=6, like="p1")
    red, rest = made.row[:3], made.row[3:]
    assert [item.price for item in red] == sorted(item.price for item in red)
    assert all(product(int(item.product_id[1:])).tags for item in red)
    assert [item.price for item in rest] == sorted(item.price for item in rest)
    assert {item.source for item in rest} == {"relaxed"}


async def test_an_order_is_among_what_fits_the_words(shop: PipelineShop) -> None:
    plain = await shop.search(Inferred(description="lamps"), k=18, like="p1", diversity=0.0)
    made = await shop.search(Inferred(description="lamps", order="dearest"), k=6, like="p1")
    prices = [item.price for item in made.row]
    assert prices == sorted(prices, reverse=True)
    assert set(ids(made)) <= set(ids(plain))


@pytest.mark.parametrize("order", ["cheapest", "dearest", "newest", "best_rated"])
async def test_an_order_without_other_words_is_of_all_products(shop: PipelineShop, order: str) -> None:
    shop.put(7, updated_at=99, popularity=1.0, price=0.5)
    shop.put(8, updated_at=98, popularity=0.9, price=99.0)
    made = await shop.search(Inferred(order=order), k=2)  # type: ignore[arg-type]
    first = {"cheapest": "p7", "dearest": "p8", "newest": "p7", "best_rated": "p0"}
    assert ids(made)[0] == first[order]


async def test_a_coat_that_there_is_not_is_answered_by_what_lies_beside_it(shop: PipelineShop) -> None:
    for number, kind, shelf, price in (
        (1, "coat", "Women/Jackets & coats", 190.0),
        (2, "jacket", "Kids/Jackets & coats", 35.0),
        (3, "cap", "Kids/Accessories", 15.0),
        (4, "jacket", "Kids/Jackets & coats", 90.0),
    ):
        fields = {"type": kind, "category": tuple(shelf.split("/")), "price": price, "updated_at": 1}
        shop.put(number, **fields)
        shop.index.upsert([(product(number, **fields), content(number, product(number)))])
    told = Inferred(types=("coat",), categories=("Kids",), price_max=40.0, currency="EUR")
    made = await shop.search(told)
    assert ids(made) == ["p2"]
    assert made.notice == "No coats for kids up to €40. Jackets for kids up to €40:"
    found = {(each.parameter, each.value): each.products for each in made.counts}
    assert found == {("type", "coat"): 2, ("category", "Kids"): 0, ("price", ""): 0}


async def test_wishes_that_all_stand_in_the_way_show_what_is_popular(shop: PipelineShop) -> None:
    told = Inferred(types=("nothing",), price_min=9_000.0)
    made = await shop.search(told)
    assert made.notice == "No nothings from 9,000. What is popular:"
    assert {item.source for item in made.row} == {"popular"}
