"""A search and a purchase turn the visitor's own row, and the page it stands on counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.live import Cause, PageContext
from schemas.sessions import Session, SessionSearch, pack_purchases, purchase_digest
from schemas.times import DAY_MS
from services.model.repurchase import Repeat, Repeats
from services.recommender.pipeline.recent_searches import RecentSearch
from services.recommender.pipeline.request import RecommendationResult
from services.recommender.search.query import Inferred
from services.recommender.search.query_vectors import WordVector
from services.recommender.search.search import Search
from tests.support.models import behaviour
from tests.support.pipeline import LAYOUT, SHOWN, PipelineShop, ids

NOW = 1_767_225_600_000
# Who bought p1, a lamp, also had p3 (shoes) and p5 (a tent) again and again; others looked at p9 with p12.
PAST = [["p1", "p3", "p5"]] * 8 + [["p9", "p12"]] * 20 + [["p7", "p10"]] * 20


@pytest.fixture
def shop(tmp_path: Path) -> PipelineShop:
    found = PipelineShop(tmp_path)
    found.now = NOW
    return found


def recent(shop: PipelineShop, like: str, share: float = 1.0, **told: Any) -> RecentSearch:
    vector = shop.replica.vector(like)
    assert vector is not None
    words = WordVector(vector[LAYOUT.slices["text"]], vector[LAYOUT.slices["image"]])
    return RecentSearch(
        SessionSearch(NOW, b"", "boots"), Search(Inferred(description="boots", **told), words=words), share
    )


async def for_you(shop: PipelineShop, session: Session | None, **fields: Any) -> RecommendationResult:
    return await shop.ask(
        "for_you", 6, SHOWN, session=session, without_seen=True, without_bought=True, **fields
    )


def buy(shop: PipelineShop, product_id: str, days: float, *looked: str) -> Session:
    """Bought so many days ago; then others were looked at."""
    at = int(NOW - days * DAY_MS) // 1000
    purchases = pack_purchases({purchase_digest(product_id): at}, 256)
    return msgspec.structs.replace(shop.session(*looked), bought=purchases)


def types(shop: PipelineShop, made: RecommendationResult) -> list[str | None]:
    found = [shop.catalogue.get(product_id) for product_id in ids(made)]
    return [each.type if each else None for each in found]


def kinds(made: RecommendationResult) -> dict[str, str]:
    return {item.product_id: item.reason.kind if item.reason else "" for item in made.row}


async def test_a_search_puts_its_products_into_the_row_and_says_so(shop: PipelineShop) -> None:
    session = shop.session("p0", "p3")
    before = await for_you(shop, session)
    after = await for_you(shop, session, searches=(recent(shop, "p2"),))
    found = [item for item in after.row if item.reason and item.reason.kind == "search"]
    assert 1 <= len(found) < 6
    assert {item.category[0] for item in found} == {"Tents"}
    assert {item.why for item in found} == {"because you searched for boots"}
    assert any(item.reason is not None and item.reason.kind != "search" for item in after.row)
    assert ids(before) != ids(after)


async def test_a_search_fades(shop: PipelineShop) -> None:
    session = shop.session("p0", "p3")
    new, old = [
        [*kinds(await for_you(shop, session, searches=(recent(shop, "p2", share),))).values()].count("search")
        for share in (1.0, 0.1)
    ]
    assert old < new


async def test_a_new_visitors_search_is_most_of_the_row_and_no_fallback(shop: PipelineShop) -> None:
    made = await for_you(shop, None, searches=(recent(shop, "p2"),))
    told = [*kinds(made).values()]
    assert (told.count("search"), told.count("popular")) == (4, 2)
    assert made.fallback is None


async def test_the_bounds_of_a_search_hold_for_what_it_brings(shop: PipelineShop) -> None:
    made = await for_you(shop, shop.session("p0"), searches=(recent(shop, "p2", price_max=10.0),))
    found = [item for item in made.row if item.reason and item.reason.kind == "search"]
    assert found
    assert max(item.price for item in found) <= 10


async def test_after_a_purchase_its_kind_gives_way_to_what_goes_with_it(shop: PipelineShop) -> None:
    shop.model = behaviour(PAST)
    looked = shop.session("p7", "p1")
    assert "Lamps of kind 1" in types(shop, await for_you(shop, looked))
    session = buy(shop, "p1", 1, "p7", "p1")
    made = await for_you(shop, session)
    assert "Lamps of kind 1" not in types(shop, made)
    beside = {item.product_id: item for item in made.row if kinds(made)[item.product_id] == "complement"}
    assert set(beside) <= {"p3", "p5"}
    assert beside
    for item in beside.values():
        assert item.reason is not None
        assert item.reason.product_id == "p1"
        assert item.reason.visits == 8
        assert item.reason.cause == Cause(
            type="purchase", product_id="p1", occurred_at=int(NOW - DAY_MS) // 1000 * 1000
        )
        assert item.why == "because you bought Product 1"


async def test_of_a_purchase_that_may_be_somebody_elses_nothing_is_told(shop: PipelineShop) -> None:
    shop.model = behaviour(PAST)
    session = buy(shop, "p1", 1, "p9")
    made = await for_you(shop, session, own=frozenset())
    assert "complement" in kinds(made).values()
    for item in made.row:
        assert item.cause is None
        assert item.reason is not None
        assert item.reason.product_id is None
        assert "Product 1" not in item.why
    assert made.causes == {}


async def test_who_asks_for_a_shelf_is_shown_it(shop: PipelineShop) -> None:
    shop.model = behaviour(PAST)
    session = buy(shop, "p1", 1, "p7")
    lamps = replace(SHOWN, type=frozenset({"Lamps of kind 1"}))
    made = await shop.ask("for_you", 3, lamps, session=session, without_seen=True)
    assert set(types(shop, made)) == {"Lamps of kind 1"}


async def test_a_consumable_comes_back_when_it_is_due(shop: PipelineShop) -> None:
    model = behaviour(PAST)
    shop.model = model
    often = Repeats({"Lamps of kind 1": Repeat(0.8, 20.0, 100)})
    object.__setattr__(model, "repeats", often)
    assert "p1" not in ids(await for_you(shop, buy(shop, "p1", 5, "p9")))
    made = await for_you(shop, buy(shop, "p1", 22, "p9"))
    assert kinds(made)["p1"] == "due"


async def test_on_the_page_of_a_category_a_new_visitor_sees_it_first(shop: PipelineShop) -> None:
    made = await for_you(shop, None, page=PageContext(type="category", category="Tents"))
    assert [item.category[0] for item in made.row][:4] == ["Tents"] * 4
    assert made.fallback == "new_visitor"
    popular = await shop.ask("popular", 20, SHOWN, page=PageContext(type="category", category="Tents"))
    assert [item.category[0] for item in popular.row][:10] == ["Tents"] * 10
    assert len(popular.row) == 20


async def test_on_the_page_of_a_category_the_visitors_row_leans_to_it(shop: PipelineShop) -> None:
    session = shop.session("p0", "p1", "p2")
    plain = await for_you(shop, session)
    made = await for_you(shop, session, page=PageContext(type="category", category="Tents"))
    place = [item.category[0] for item in plain.row].index("Tents")
    assert [item.category[0] for item in made.row].index("Tents") <= place
