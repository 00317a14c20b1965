"""All kinds of rows over HTTP, from a recommender with a catalogue, vectors and a released model."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

import numpy as np
import pytest

from infra.stack.broker import Broker
from schemas import models
from schemas.products import Product
from services.clock import now_ms
from services.model.content import category_vector, point, price_point, signs
from tests.support.kafka import create_topics
from tests.support.machine import free_ports
from tests.support.models import Past, store_artifact
from tests.support.patience import eventually
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import LAYOUT, Json, Shop, get, ids, metrics

CATEGORIES: Final = (("Women", "Shoes"), ("Women", "Dresses"), ("Home", "Lamps"), ("Outdoor", "Tents"))
TYPES: Final = (("boots", "sandals"), ("gown", "sundress"), ("lantern", "spotlight"), ("igloo", "tunnel"))
BRANDS: Final = ("Aster", "Birch", "Cedar", "Dahlia", "Elm")
COLOURS: Final = ("red", "blue", "green")
COUNT: Final = 40
BUYERS: Final = 25  # more than the feed's greatest popularity counts
VERSION: Final = "20241124T041507Z-3f9a"


def product(number: int) -> Product:
    """Every fourth is of one category, every eighth of one type."""
    category = number % 4
    return Product(
        product_id=f"p{number}",
        name=f"Article {number}",
        price=20.0 + 2 * number,
        currency="USD",
        availability="in_stock",
        updated_at=1,
        category=CATEGORIES[category],
        type=TYPES[category][number // 4 % 2],
        brand=BRANDS[number % 5],
        tags=(COLOURS[number % 3],),
        popularity=round(1 / (number + 1), 3),
    )


CATALOGUE: Final = {each.product_id: each for each in map(product, range(COUNT))}
UNSEEN: Final = "p39"  # no past visit holds it


def content(of: Product) -> np.ndarray:
    """As the embedder makes it; what stands for text and picture is near within a category."""
    made = np.zeros(LAYOUT.width, np.float32)
    for name in ("text", "image", "caption"):
        span = LAYOUT.slices[name]
        shelf, own = (
            np.random.default_rng(crc32(f"{name} of {whose}".encode())).normal(size=span.stop - span.start)
            for whose in (of.category[-1], of.product_id)
        )
        made[span] = shelf + own
    for name, word in (("brand", of.brand), ("type", of.type)):
        span = LAYOUT.slices[name]
        made[span] = signs(word or "", span.stop - span.start)
    span = LAYOUT.slices["category"]
    made[span] = category_vector(of.category, span.stop - span.start)
    made[LAYOUT.slices["price"]] = price_point(of.price)
    made[LAYOUT.slices["popularity"]] = point(of.popularity or 0.0)
    return LAYOUT.normalise(made)


def past() -> Past:
    """Who looks at a product also looks at one of the next category, and at two of its own: of another type
    and of its own."""
    steps = (0, 1, 4, 8)
    return [[f"p{(number + step) % (COUNT - 1)}" for step in steps] for number in range(COUNT - 1)] * 3


@pytest.fixture(scope="module")
def shop(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    settings = create_topics(broker)
    shop = Shop(settings)
    release = store_artifact(tmp_path_factory.mktemp("models") / VERSION, past(), VERSION)

    async def fill() -> None:
        await shop.put(*CATALOGUE.values())
        await shop.embed(*((each, content(each)) for each in CATALOGUE.values()))
        await shop.put_model("behaviour", models.encode(release))

    asyncio.run(fill())
    return shop


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """No embedder runs where it looks for one."""
    folder = tmp_path_factory.mktemp("recommender")
    environment = {
        "EDDY_EMBEDDER_URL": f"http://127.0.0.1:{free_ports(1)[0]}",
        "EDDY_RECOMMENDER_MODELS": str(folder / "models"),
        "EDDY_LIVE_LEARNING_S": "0",
    }
    with run_service("recommender", shop.settings, folder / "log", environment=environment) as service:
        yield service


def about(service: RunningService, product_id: str, kind: str, **parameters: Any) -> Json:
    """A row about a product, in the order of its scores."""
    return get(
        service, f"/v1/products/{product_id}/{kind}", **{"diversity": 0, "brand_max": 100, **parameters}
    )


def of_visitor(service: RunningService, path: str, visitor_id: str, **parameters: Any) -> Json:
    """A row for a visitor, asked for by the shop's back end."""
    answer = service.http.get(
        path,
        params={"visitor_id": visitor_id, **parameters},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def products_of(row: Json) -> list[Product]:
    """The products of a row."""
    return [CATALOGUE[each] for each in ids(row)]


def sources(row: Json) -> set[str]:
    """Where they come from."""
    return {item["source"] for item in row["items"]}


def test_also_liked_is_what_visits_hold_whatever_it_looks_like(recommender: RunningService) -> None:
    row = about(recommender, "p12", "also-liked", k=20)
    said = "others who looked at Article 12 also looked at this"
    witnessed = {item["product_id"] for item in row["items"] if item["why"] == said}
    assert witnessed == {f"p{12 + step}" for step in (-8, -7, -4, -3, -1, 1, 3, 4, 7, 8)}
    assert set(ids(row)[:5]) < witnessed
    assert sources(row) == {"behaviour"}
    assert row["models"]["behaviour"] == VERSION
    assert "fallback" not in row
    similar = about(recommender, "p12", "similar", k=9)
    assert {each.category for each in products_of(similar)} == {CATEGORIES[0]}
    assert len({each.category for each in products_of(row)}) > 1


@pytest.mark.parametrize("by", ["topic", "type"])
def test_what_goes_with_a_product_is_of_another_topic_or_type(recommender: RunningService, by: str) -> None:
    row = products_of(about(recommender, "p12", "complements", by=by, k=5))
    own = CATALOGUE["p12"]
    if by == "topic":
        assert own.category not in {each.category for each in row}
    else:
        assert own.type not in {each.type for each in row}
        assert own.category in {each.category for each in row}


def test_complements_are_by_topic_where_nothing_is_said(recommender: RunningService) -> None:
    row = about(recommender, "p12", "complements", k=5)
    assert row["items"] == about(recommender, "p12", "complements", k=5, by="topic")["items"]


def test_weights_of_the_request_change_what_is_similar(recommender: RunningService) -> None:
    def similar(weights: str) -> list[Product]:
        return products_of(about(recommender, "p12", "similar", k=6, weights=weights))

    own = CATALOGUE["p12"]
    assert {each.brand for each in similar("brand:10")} == {own.brand}
    assert own.category not in {each.category for each in similar('{"category": -10}')}
    assert {each.type for each in similar("type:5,behaviour:0")[:4]} == {own.type}
    near = similar("price:10,category:0,type:0,text:0,image:0,behaviour:0,brand:0")
    assert all(abs(each.price - own.price) <= 8 for each in near)


def test_explained_parts_add_up_to_the_score(recommender: RunningService) -> None:
    for kind in ("similar", "also-liked", "complements"):
        row = about(recommender, "p12", kind, k=6, explain=True)
        for item in row["items"]:
            assert sum(item["parts"].values()) == pytest.approx(item["score"], abs=0.002)
    parts = about(recommender, "p12", "complements", k=6, explain=True)["items"][0]["parts"]
    assert parts["behaviour"] > 0
    assert "parts" not in about(recommender, "p12", "similar", k=1)["items"][0]


async def test_popular_follows_what_is_bought_these_days(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    before = ids(get(recommender, "/v1/popular", k=6))
    assert "p30" not in before
    started = now_ms()
    for number in range(BUYERS):
        await shop.happens(f"{visitor}-{number}", "purchase", "p30", int(now_ms()))
        await shop.happens(f"{visitor}-{number}", "view_item", "p31", int(now_ms()))

    async def check_counted() -> (
        None
    ):  # a view counts half as much as a purchase, and p0 is popular in the feed
        assert ids(get(recommender, "/v1/popular", k=6))[:3] == ["p30", "p0", "p31"]

    await eventually(check_counted)
    assert now_ms() - started < 10_000
    women = get(recommender, "/v1/popular", category="Women", k=40)
    assert {each.category[0] for each in products_of(women)} == {"Women"}
    assert len(ids(women)) == COUNT / 2
    lamps = ids(get(recommender, "/v1/popular", category="Home/Lamps", k=3))
    assert lamps[0] == "p30"
    assert ids(get(recommender, "/v1/popular", category="Wom", k=3)) == []


async def test_what_a_visitor_has_seen_or_bought_is_left_out_as_asked(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    await shop.happens(visitor, "view_item", "p0", int(now_ms()))
    await shop.happens(visitor, "purchase", "p4", int(now_ms()))

    def row(path: str, **parameters: Any) -> set[str]:
        return set(ids(of_visitor(recommender, path, visitor, k=100, **parameters))) & {"p0", "p4"}

    async def check_known() -> None:
        assert row("/v1/recommendations") == set()

    await eventually(check_known)
    assert row("/v1/recommendations", exclude_seen=False) == {"p0"}
    assert row("/v1/recommendations", exclude_bought=False) == set()  # it has been seen, too
    assert row("/v1/recommendations", exclude_seen=False, exclude_bought=False) == {"p0", "p4"}
    for path, words in {
        "/v1/popular": {},
        "/v1/products/p8/similar": {},
        "/v1/search": {"q": "shoes"},
    }.items():
        assert row(path, **words) == {"p0", "p4"}
        assert row(path, **words, exclude_seen=True) == set()
        assert row(path, **words, exclude_bought=True) == {"p0"}
        assert row(path, **words, exclude=["p0"]) == {"p4"}


async def test_a_visitors_row_tells_the_event_behind_each_product(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    event_id = await shop.happens(visitor, "add_to_cart", "p12", int(now_ms()))

    async def check_known() -> None:
        assert of_visitor(recommender, "/v1/recommendations", visitor)["caused_by"] == event_id

    await eventually(check_known)
    row = of_visitor(recommender, "/v1/recommendations", visitor, k=6, explain=True)
    assert {item["cause"]["product_id"] for item in row["items"]} == {"p12"}
    assert {item["cause"]["type"] for item in row["items"]} == {"add_to_cart"}
    assert all(item["parts"] for item in row["items"])
    assert "fallback" not in row


async def test_fallbacks_are_labelled(recommender: RunningService, shop: Shop, visitor: str) -> None:
    new = of_visitor(recommender, "/v1/recommendations", visitor, k=3)
    assert (new["fallback"], sources(new)) == ("new_visitor", {"popular"})
    unseen = about(recommender, UNSEEN, "also-liked", k=3)
    assert (unseen["fallback"], sources(unseen)) == ("no_behaviour", {"popular"})
    bare = Product(
        product_id=visitor,
        name="Not embedded yet",
        price=1.0,
        currency="USD",
        availability="in_stock",
        updated_at=1,
        category=("New",),
    )
    await shop.put(bare)

    async def check_known() -> None:
        row = about(recommender, visitor, "similar", k=3)
        assert (row["fallback"], sources(row)) == ("no_vectors", {"popular"})

    await eventually(check_known)
    await shop.delete(visitor)

    async def check_gone() -> None:
        assert visitor in get(recommender, f"/v1/products/{visitor}/similar", 404)["detail"]

    await eventually(check_gone)
    counted = metrics(recommender)
    for fallback in ("new_visitor", "no_behaviour", "no_vectors"):
        assert f'eddy_recommender_fallbacks_total{{reason="{fallback}"}}' in counted


def test_filters_that_leave_too_few_say_so_and_are_kept(recommender: RunningService) -> None:
    paths: dict[str, dict[str, Any]] = {
        "/v1/popular": {},
        "/v1/products/p12/similar": {},
        "/v1/products/p12/also-liked": {},
        "/v1/search": {"q": "boots"},
    }
    for path, words in paths.items():
        row = get(recommender, path, **words, category="Women/Shoes", type="boots", price_max=40)
        assert set(ids(row)) == {"p0", "p8"}, path
        assert row["notice"] == "only 2 products fit the filters"
        none = get(recommender, path, **words, category="Women/Shoes", price_max=1)
        assert (none["items"], none["notice"]) == ([], "no product fits the filters")
    assert "notice" not in get(recommender, "/v1/popular", k=12)


def search(service: RunningService, q: str, **parameters: Any) -> Json:
    """What a search finds."""
    return get(service, "/v1/search", q=q, **{"k": 12, "brand_max": 100, **parameters})


def test_a_search_understands_words_and_shows_what_it_understood(recommender: RunningService) -> None:
    row = search(recommender, "blue boots under $70 not Aster")
    assert row["understood_by"] == "parser"
    told = row["inferred"]
    assert told["price_max"] == 70
    assert told["currency"] == "USD"
    assert told["types"] == ["boots"]
    assert told["tags"] == ["blue"]
    assert told["not_brands"] == ["Aster"]
    found = products_of(row)
    expected = [
        each
        for each in CATALOGUE.values()
        if each.type == "boots" and each.price <= 70 and each.brand != "Aster"
    ]
    assert {each.product_id for each in found} == {each.product_id for each in expected}
    wished = [each for each in expected if "blue" in each.tags]
    assert {each.product_id for each in found[: len(wished)]} == {each.product_id for each in wished}
    assert {item["source"] for item in row["items"][len(wished) :]} == {"relaxed"}
    assert row["items"][-1]["why"] == "close, but not blue"


def test_every_parameter_stands_in_for_what_the_words_say(recommender: RunningService) -> None:
    words = "boots under $70 not Aster"
    assert {each.type for each in products_of(search(recommender, words, type=""))} != {"boots"}
    assert max(each.price for each in products_of(search(recommender, words, price_max=""))) > 70
    assert max(each.price for each in products_of(search(recommender, words, price_max=40))) <= 40
    assert "Aster" in {each.brand for each in products_of(search(recommender, words, without_brand=""))}
    green = search(recommender, "blue boots", tag="green")
    assert {each.tags for each in products_of(green)} == {("green",)}
    assert search(recommender, words, price_max=40)["inferred"]["price_max"] == 40


def test_words_without_an_embedder_are_a_labelled_fallback(recommender: RunningService) -> None:
    row = search(recommender, "something cosy for the evening, boots")
    assert row["fallback"] == "words_away"
    assert "cosy" in row["inferred"]["description"]
    assert row["items"]
    assert 'eddy_recommender_fallbacks_total{reason="words_away"}' in metrics(recommender)


async def test_a_search_with_a_visitor_leans_to_its_taste(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    tastes = {f"{visitor}-lamps": "p2", f"{visitor}-tents": "p3"}
    for each, seen in tastes.items():
        await shop.happens(each, "view_item", seen, int(now_ms()))

    def search(visitor_id: str, **parameters: Any) -> list[str]:
        return ids(of_visitor(recommender, "/v1/search", visitor_id, q="red", k=6, **parameters))

    async def differs() -> None:
        for each, seen in tastes.items():
            first = CATALOGUE[search(each, weights="session:5", exclude_seen=True)[0]]
            own = CATALOGUE[seen]
            assert (first.category, first.type, first.tags) == (own.category, own.type, ("red",))

    await eventually(differs)
    one, other = tastes
    assert search(one, weights="session:0") == search(other, weights="session:0")
