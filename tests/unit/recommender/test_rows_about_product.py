"""Rows about a product: what is like it, what is liked beside it, what goes with it, and what they say."""

from typing import Any

import msgspec
import pytest

from schemas.live import COMPLEMENTS, SlotKind
from schemas.sessions import SESSION_EVENTS_MAX
from services.model.content import PROFILES
from services.recommender.index.port import Where
from services.recommender.pipeline.request import RecommendationResult
from tests.support.models import VERSION, behaviour
from tests.support.pipeline import COUNT, SHOWN, PipelineShop, ids, product, sources

KINDS: list[SlotKind] = ["similar", "also_liked", "complement_topic", "complement_type"]
# Who looked at p0 looked at shoes, lamps and tents of both types; others at lamps of one type alone, which is
# therefore beside p0 as often as by chance.
WIDE = [["p0", *(f"p{number}" for number in range(1, 20))]] * 3 + [["p22", "p28"]] * 3


async def about(
    shop: PipelineShop, kind: SlotKind, number: int = 0, k: int = 6, **fields: Any
) -> RecommendationResult:
    return await shop.ask(kind, k, product_id=f"p{number}", **fields)


def shelves(made: RecommendationResult) -> set[str]:
    return {item.category[0] for item in made.row}


async def test_similar_is_by_content_where_there_is_no_model(shop: PipelineShop) -> None:
    made = await about(shop, "similar")
    assert (made.model, made.fallback, made.notice) == (None, None, None)
    assert shelves(made) == {"Shoes"}
    assert set(sources(made).values()) == {"content"}
    assert "p0" not in ids(made)


async def test_similar_blends_content_and_behaviour(model_shop: PipelineShop) -> None:
    made = await about(model_shop, "similar", k=COUNT)
    assert made.model == VERSION
    assert {"content", "behaviour"} == set(sources(made).values())
    reasons = {item.product_id: item.why for item in made.row}
    assert reasons["p1"] == "others who looked at Product 0 also looked at this"
    without = await about(model_shop, "similar", k=COUNT, weights={"behaviour": 0.0})
    assert ids(made).index("p1") < ids(without).index("p1")
    assert set(sources(without).values()) == {"content"}


async def test_also_liked_is_what_visits_hold_whatever_it_looks_like(model_shop: PipelineShop) -> None:
    made = await about(model_shop, "also_liked", k=3)
    assert set(ids(made)) == {"p1", "p2", "p4"}
    assert {item.source for item in made.row} == {"behaviour"}
    assert {item.why for item in made.row} == {"others who looked at Product 0 also looked at this"}


async def test_what_goes_with_a_product_is_of_another_category(shop: PipelineShop) -> None:
    shop.model = behaviour(WIDE)
    made = await about(shop, "complement_topic", k=6)
    assert shelves(made) == {"Lamps", "Tents"}
    assert {item.why for item in made.row} == {"goes with Product 0"}
    turned = await about(shop, "complement_topic", k=6, weights={"category": 3.0})
    assert shelves(turned) == {"Shoes"}


async def test_what_goes_with_a_product_is_of_another_type(shop: PipelineShop) -> None:
    shop.model = behaviour(WIDE)
    own = product(0).type
    types = {product(int(each[1:])).type for each in ids(await about(shop, "complement_type", k=6))}
    assert own not in types
    turned = await about(shop, "complement_type", k=3, weights={"type": 3.0})
    assert {product(int(each[1:])).type for each in ids(turned)} == {own}


async def test_also_liked_and_complements_differ_from_similar(shop: PipelineShop) -> None:
    shop.model = behaviour(WIDE)
    rows = {kind: set(ids(await about(shop, kind, k=5))) for kind in KINDS}
    for kind in KINDS[1:]:
        assert len(rows[kind] & rows["similar"]) <= 2, kind


@pytest.mark.parametrize("kind", ["similar", "also_liked"])
async def test_an_unknown_product_has_what_is_popular_and_says_why(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    made = await about(model_shop, kind, number=99, k=3)
    assert made.fallback == "unknown_product"
    assert ids(made) == ["p0", "p1", "p2"]
    assert set(sources(made).values()) == {"popular"}


async def test_a_product_without_vectors_yet_has_no_likeness_but_is_liked(model_shop: PipelineShop) -> None:
    model_shop.replica.remove("p0")
    assert (await about(model_shop, "similar")).fallback == "no_vectors"
    liked = await about(model_shop, "also_liked", k=3)
    assert (liked.fallback, set(ids(liked))) == (None, {"p1", "p2", "p4"})


async def test_where_no_visit_speaks_the_row_is_popular_and_says_why(model_shop: PipelineShop) -> None:
    made = await about(model_shop, "also_liked", number=9)
    assert (made.fallback, set(sources(made).values())) == ("no_behaviour", {"popular"})
    model_shop.model = None
    assert (await about(model_shop, "also_liked")).fallback == "no_behaviour"


@pytest.mark.parametrize("kind", KINDS[2:])
async def test_what_is_not_known_to_go_with_a_product_is_not_shown_beside_it(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    for number, fallback in ((9, "no_behaviour"), (99, "unknown_product")):
        made = await about(model_shop, kind, number=number)
        assert (made.row, made.fallback, made.notice) == ((), fallback, "no product goes with it")
    made = await about(model_shop, kind)
    assert (ids(made), made.notice) == (["p1", "p4"], "only 2 products go with it")
    model_shop.model = None
    assert (await about(model_shop, kind)).fallback == "no_behaviour"


async def test_while_the_index_is_away_behaviour_is_left_and_the_row_says_so(
    model_shop: PipelineShop,
) -> None:
    model_shop.index.away = True
    made = await about(model_shop, "similar", k=8)
    assert made.fallback == "index_away"
    assert sources(made)["p1"] == "behaviour"
    model_shop.model = None
    made = await about(model_shop, "similar")
    assert (made.fallback, set(sources(made).values())) == ("index_away", {"popular"})
    assert len(made.row) == 6


@pytest.mark.parametrize("kind", KINDS)
async def test_the_parts_of_a_score_add_up_to_it(model_shop: PipelineShop, kind: SlotKind) -> None:
    weights = {"price": 0.3, "image": 0.7, "brand": 0.4, "popularity": 0.2}
    model_shop.model = behaviour(WIDE)
    made = await about(model_shop, kind, k=8, explains=True, weights=weights)
    explained = [item for item in made.row if item.source != "popular"]
    assert len(explained) >= 3
    for item in explained:
        assert item.parts is not None
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-3)
    assert all(item.parts is None for item in (await about(model_shop, kind, weights=weights)).row)


async def test_a_reason_names_the_part_that_counts_most(shop: PipelineShop) -> None:
    for part, why in {
        "category": "also in Shoes",
        "brand": "also by Brand 0",
        "image": "looks alike",
    }.items():
        made = await about(shop, "similar", k=1, weights={part: 9.0})
        assert made.row[0].why == why
    [best] = (await about(shop, "similar", k=1, weights={"type": 9.0})).row
    assert best.why == f"another {product(0).type}"


@pytest.mark.parametrize("kind", KINDS)
async def test_every_weight_can_be_given(model_shop: PipelineShop, kind: SlotKind) -> None:
    names = {*PROFILES["for_you"], *PROFILES["search"], "price"} - {"session"}
    model_shop.model = behaviour(WIDE)
    # Products of one type are of one category, and a row of another category has none of them.
    for name in names - ({"type"} if kind == "complement_topic" else set()):
        scores = []
        for weight in (0.0, 5.0):
            made = await about(
                model_shop, kind, k=COUNT, weights={name: weight}, explains=True, diversity=0.0
            )
            scores.append({item.product_id: item.score for item in made.row if item.parts})
        assert scores[0] != scores[1], name


async def test_a_shop_that_has_mostly_sold_out_a_moment_ago_still_has_a_full_row_of_likeness(
    shop: PipelineShop,
) -> None:
    # The index has not heard of it yet: all that it finds first may not be shown any more.
    for number in range(COUNT, COUNT + 2 * SESSION_EVENTS_MAX):
        twin = product(number - number % 30, product_id=f"p{number}", availability="out_of_stock")
        shop.catalogue.put(twin)
        listed = product(0, product_id=f"p{number}")
        vector = shop.replica.vector("p0")
        assert vector is not None
        shop.replica.put(listed, vector.astype("float16"))
        shop.index.upsert([(listed, vector)])
    made = await about(shop, "similar", k=6)
    assert set(sources(made).values()) == {"content"}
    assert len(made.row) == 6


@pytest.mark.parametrize("kind", [*KINDS, "for_you", "popular"])
async def test_what_was_seen_or_bought_is_left_out_where_that_is_asked_for(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    bought = model_shop.session("p1", "p2", type_="purchase")
    seen = model_shop.session("p1", "p2")
    fields: dict[str, Any] = {"product_id": "p0"} if kind in KINDS else {}
    model_shop.model = behaviour(WIDE) if kind in COMPLEMENTS else model_shop.model
    for session, without in ((seen, "without_seen"), (bought, "without_seen"), (bought, "without_bought")):
        made = await model_shop.ask(kind, COUNT, session=session, **{**fields, without: True})
        assert not {"p1", "p2"} & set(ids(made))
        assert made.notice is not None
    made = await model_shop.ask(kind, COUNT, session=seen, without_bought=True, **fields)
    assert {"p1", "p2"} <= set(ids(made))
    long_ago = msgspec.structs.replace(model_shop.session("p3"), bought=bought.bought)
    made = await model_shop.ask(kind, COUNT, session=long_ago, without_bought=True, **fields)
    assert not {"p1", "p2"} & set(ids(made))
    made = await model_shop.ask(kind, COUNT, session=long_ago, without_bought=False, **fields)
    assert {"p1", "p2"} <= set(ids(made))


@pytest.mark.parametrize("kind", KINDS)
async def test_filters_that_leave_too_few_say_so_and_are_never_broken(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    where = Where(category=frozenset({"Lamps"}), price_max=10.0)
    model_shop.model = behaviour(WIDE)
    made = await about(model_shop, kind, k=6, where=where)
    goes = kind in COMPLEMENTS
    assert set(ids(made)) == ({"p1", "p7"} if goes else {"p1", "p4", "p7"})
    assert made.notice == ("only 2 products go with it" if goes else "only 3 products fit the filters")
    none = await about(model_shop, kind, k=6, where=Where(category=frozenset({"Hats"})))
    assert (none.row, none.notice) == ((), f"no product {'goes with it' if goes else 'fits the filters'}")
    assert (await about(model_shop, kind, k=6, where=SHOWN)).notice is None
