"""Rows over HTTP: who may see what, which parameters there are, and what is refused with which words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from schemas import sessions
from services.model.session import Tuning
from services.recommender.api.parameters import EXCLUDED_MAX, FILTERS, K_MAX, VALUES_MAX, K
from services.recommender.api.recommendations import Found, Recommended, RequestHandler, recommendation_routes
from services.recommender.impressions import Impressions
from services.recommender.metrics import Metrics
from services.recommender.pipeline.experiments import Assignment
from services.recommender.pipeline.request import RequestBuilder
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.visitors.identity_graph import IdentityGraph
from services.web import problems
from services.web.auth import ReaderAuth, TokenSigner
from services.web.openapi import MsgspecApi
from tests.support.models import behaviour
from tests.support.pipeline import LAYOUT, TOGETHER, PipelineShop, parsing_searcher, product

Json = dict[str, Any]

KEY = "the key of the shop's back end"
KEYED = {"Authorization": f"Bearer {KEY}"}
TOKENS = TokenSigner(SecretStr("a secret of the test, long enough"))
ABOUT = ("similar", "also-liked", "complements")
OPEN = (
    *(f"/v1/products/p0/{name}" for name in ABOUT),
    "/v1/complements?product_id=p0",
    "/v1/popular",
    "/v1/search?q=shoes",
)


class Api:
    """The routes on the small shop, with nothing from Kafka and no embedder."""

    def __init__(self, shop: PipelineShop) -> None:
        self.shop = shop
        self.metrics = Metrics()
        self.waiting_for: str | None = None
        self.sessions = Sessions(LAYOUT, 10)
        joined = MergedSessions(self.sessions, IdentityGraph(), shop.replica, LAYOUT, Tuning())
        searcher = parsing_searcher(shop.catalogue.products(), self.metrics)
        answerer = RequestHandler(
            ReaderAuth(TOKENS, SecretStr(KEY)),
            shop.rows,
            sessions=joined,
            impressions=Impressions(None, "recommendations", self.metrics, lambda: 0.0),
            models=lambda version: {"behaviour": version} if version else {},
            waiting_for=lambda: self.waiting_for,
            metrics=self.metrics,
        )
        self.app = MsgspecApi("rows", "of the test", [Recommended, Found], nothing)
        self.app.include_router(
            recommendation_routes(answerer, shop.catalogue, searcher, RequestBuilder(joined, searcher))
        )
        problems.install(self.app, lambda _status: None)

    async def get(self, path: str, status: int = 200, **options: Any) -> Json:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://eddy") as client:
            answer = await client.get(path, **options)
        assert answer.status_code == status, answer.text
        self.headers = answer.headers
        body: Json = answer.json()
        return body

    async def ids(self, path: str, **options: Any) -> list[str]:
        return [item["product_id"] for item in (await self.get(path, **options))["items"]]

    def visit(self, visitor_id: str, *products: str) -> None:
        raw = sessions.encode(self.shop.session(*products))
        self.sessions.put(visitor_id, PublishedSession(raw, caused_by="the newest event"))


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def api(shop: PipelineShop) -> Api:
    return Api(shop)


@pytest.fixture(scope="module")
def common_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For tests that only ask: to build the routes takes longer than all their questions."""
    shop = PipelineShop(tmp_path_factory.mktemp("unchanged") / "index")
    yield Api(shop)
    shop.index.close()


@pytest.mark.parametrize("path", OPEN)
async def test_rows_about_products_and_words_are_anybody_s(common_api: Api, path: str) -> None:
    answer = await common_api.get(path)
    assert len(answer["items"]) <= K
    assert "caused_by" not in answer
    assert common_api.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ABOUT)
async def test_an_unknown_product_is_404(common_api: Api, name: str) -> None:
    refused = await common_api.get(f"/v1/products/nobody/{name}", 404)
    assert refused["type"] == "urn:eddy:problem:unknown-product"
    assert "'nobody'" in refused["detail"]


async def test_a_product_s_id_may_hold_slashes_and_the_names_of_routes(api: Api) -> None:
    for number, product_id in enumerate(("a/b", "a/similar", "with space", "a/b/also-liked")):
        api.shop.catalogue.put(product(100 + number, product_id=product_id))
        for name in ABOUT:
            answer = await api.get(f"/v1/products/{product_id}/{name}")
            assert answer["fallback"] in ("no_vectors", "no_behaviour")
            assert product_id not in [item["product_id"] for item in answer["items"]]
    escaped = await api.get("/v1/products/a%2Fb/similar")
    assert escaped["fallback"] == "no_vectors"


async def test_a_visitor_s_row_needs_the_token_or_the_key(api: Api) -> None:
    path = "/v1/recommendations?visitor_id=v1"
    assert "token" in (await api.get(path, 401))["detail"]
    assert "not valid" in (await api.get(f"{path}&token=x", 401))["detail"]
    other = TOKENS.issue("v2").token
    assert "another visitor" in (await api.get(f"{path}&token={other}", 401))["detail"]
    wrong = {"Authorization": "Bearer something else"}
    assert "EDDY_API_KEY" in (await api.get(path, 401, headers=wrong))["detail"]
    assert api.headers["WWW-Authenticate"] == "Bearer"
    own = TOKENS.issue("v1").token
    assert (await api.get(f"{path}&token={own}"))["fallback"] == "new_visitor"
    assert (await api.get(path, headers=KEYED))["fallback"] == "new_visitor"
    assert "visitor_id" in (await api.get("/v1/recommendations", 422))["detail"]
    for nobody in ("", "%0A", "a%20b", "x" * 65):
        refused = await api.get(f"/v1/recommendations?visitor_id={nobody}", 422, headers=KEYED)
        assert "query.visitor_id" in refused["detail"]


@pytest.mark.parametrize("path", OPEN)
async def test_naming_a_visitor_needs_the_token_everywhere(common_api: Api, path: str) -> None:
    with_visitor = {"visitor_id": "v1"}
    url = httpx.URL(path).copy_merge_params(with_visitor)
    await common_api.get(str(url), 401)
    await common_api.get(str(url.copy_merge_params({"token": TOKENS.issue("v1").token})))


async def test_a_visitor_s_row_follows_the_session_and_names_its_newest_event(api: Api) -> None:
    api.visit("v1", "p0", "p3")
    path = "/v1/recommendations?visitor_id=v1"
    answer = await api.get(path, headers=KEYED)
    assert answer["caused_by"] == "the newest event"
    assert "fallback" not in answer
    assert not {"p0", "p3"} & set(await api.ids(path, headers=KEYED))
    assert "p0" in await api.ids(f"{path}&exclude_seen=false&exclude_bought=false&k=30", headers=KEYED)
    assert {"p0", "p3"} <= set(await api.ids("/v1/popular?k=30"))
    unseen = await api.ids("/v1/popular?k=30&visitor_id=v1&exclude_seen=true", headers=KEYED)
    assert not {"p0", "p3"} & set(unseen)


async def test_before_all_is_read_nothing_is_answered(api: Api) -> None:
    api.waiting_for = "the topic products"
    for path in OPEN:
        assert "the topic products" in (await api.get(path, 503))["detail"]
        assert api.headers["Retry-After"] == "1"


PATHS = (*OPEN, "/v1/recommendations?visitor_id=v1")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("k", str(K_MAX + 1)), ("k", "0"), ("k", "many"), ("price_min", "-1"), ("price_max", "nan"),
        ("price_max", "inf"), ("in_stock", "perhaps"), ("diversity", "1.5"), ("brand_max", "0"),
        ("weights", "x" * 1001), ("brand", "x" * 1001), ("slot", "x" * 65),
    ],
)  # fmt: skip
async def test_a_parameter_out_of_its_bounds_is_422_with_its_name(
    common_api: Api, parameter: str, value: str
) -> None:
    for path in PATHS:
        url = str(httpx.URL(path).copy_merge_params({parameter: value}))
        refused = await common_api.get(url, 422, headers=KEYED)
        assert f"query.{parameter}" in refused["detail"]


async def test_a_parameter_of_one_value_is_given_once(common_api: Api) -> None:
    for twice in ("k=1&k=2", "price_max=1&price_max=2", "slot=a&slot=b"):
        refused = await common_api.get(f"/v1/popular?{twice}", 422)
        assert refused["type"] == "urn:eddy:problem:repeated-parameter"
        assert refused["parameter"] == twice.partition("=")[0]
    found = await common_api.ids("/v1/popular?brand=Brand%201&brand=Brand%202&exclude=p1&exclude=p2&k=30")
    assert len(found) == 10


async def test_lists_of_values_have_an_end(common_api: Api) -> None:
    many = "&".join(f"brand=b{number}" for number in range(VALUES_MAX + 1))
    assert "query.brand" in (await common_api.get(f"/v1/popular?{many}", 422))["detail"]
    excluded = "&".join(f"exclude=p{number}" for number in range(EXCLUDED_MAX + 1))
    assert "query.exclude" in (await common_api.get(f"/v1/popular?{excluded}", 422))["detail"]


@pytest.mark.parametrize(
    ("weights", "name"),
    [("brnad:1", "brnad"), ("brand:much", "brand"), ("brand:nan", "brand"), ("brand:11", "brand"),
     ('{"brand": -11}', "brand"), ('{"colour": 1}', "colour")],
)  # fmt: skip
async def test_a_bad_weight_is_422_with_its_name(common_api: Api, weights: str, name: str) -> None:
    for path in PATHS:
        url = str(httpx.URL(path).copy_merge_params({"weights": weights}))
        refused = await common_api.get(url, 422, headers=KEYED)
        assert refused["type"] == "urn:eddy:problem:bad-weight"
        assert refused["weight"] == name
        assert name in refused["detail"]
        assert {"image", "text", "behaviour"} <= set(refused["weights"])
        assert ("session" in refused["weights"]) == ("search" in path or "much" in weights)


@pytest.mark.parametrize("path", PATHS)
async def test_a_filter_on_a_field_that_is_not_indexed_is_422_with_those_that_are(
    common_api: Api, path: str
) -> None:
    url = str(httpx.URL(path).copy_merge_params({"colour": "red"}))
    refused = await common_api.get(url, 422, headers=KEYED)
    assert refused["type"] == "urn:eddy:problem:unknown-parameter"
    assert refused["parameter"] == "colour"
    assert refused["filters"] == list(FILTERS)
    assert {"price_min", "category", "brand", "tag", "market", "without_brand", "exclude"} <= set(FILTERS)


async def test_parameters_of_one_route_are_unknown_to_the_others(common_api: Api) -> None:
    for path in ("/v1/popular?by=topic", "/v1/popular?q=x", "/v1/products/p0/similar?price_near=5"):
        assert (await common_api.get(path, 422))["type"] == "urn:eddy:problem:unknown-parameter"
    assert "query.by" in (await common_api.get("/v1/products/p0/complements?by=colour", 422))["detail"]
    assert "query.q" in (await common_api.get("/v1/search", 422))["detail"]
    assert "query.q" in (await common_api.get(f"/v1/search?q={'x' * 201}", 422))["detail"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_filter_holds_on_every_route(api: Api, path: str) -> None:
    is_complement = "complements" in path
    api.shop.model = behaviour(TOGETHER) if is_complement else None
    api.visit("v1", "p0")
    given = {
        "price_min": "4", "price_max": "25", "category": ["Shoes", "Lamps/"], "without_brand": "Brand 2",
        "without_type": "Shoes of kind 1", "without_tag": "red", "exclude": ["p1", "p6"], "k": "30",
    }  # fmt: skip
    url = str(httpx.URL(path).copy_merge_params(given))
    answer = await api.get(url, headers=KEYED)
    allowed = {
        each.product_id
        for each in map(product, range(30))
        if 4 <= each.price <= 25
        and each.category != ("Tents",)
        and each.brand != "Brand 2"
        and each.type != "Shoes of kind 1"
        and not each.tags
        and each.product_id not in ("p1", "p6", "p0")
        and not (is_complement and each.category == ("Shoes",))
    }
    found = [item["product_id"] for item in answer["items"]]
    assert set(found) == allowed
    why = "go with it" if is_complement else "fit the filters"
    assert answer["notice"] == f"only {len(allowed)} products {why}"


async def test_what_is_sold_out_is_shown_only_where_that_is_asked_for(api: Api) -> None:
    api.shop.put(0, availability="out_of_stock", updated_at=1)
    assert "p0" not in await api.ids("/v1/popular?k=30")
    assert "p0" in await api.ids("/v1/popular?k=30&in_stock=false")


async def test_parts_are_told_where_they_are_asked_for(api: Api) -> None:
    path = "/v1/products/p0/similar?k=3&weights=image:1,brand:0.5"
    assert all("parts" not in item for item in (await api.get(path))["items"])
    assert all(item["parts"]["image"] for item in (await api.get(f"{path}&explain=true"))["items"])


async def test_rules_know_a_row_by_the_slot_that_it_is_asked_for(api: Api) -> None:
    api.shop.rule("r", "pin", products=("p29",), slots=("home",))
    assert "p29" not in await api.ids("/v1/popular?k=3")
    [pinned, *_] = (await api.get("/v1/popular?k=3&slot=home"))["items"]
    assert (pinned["product_id"], pinned["source"], pinned["rules"]) == ("p29", "rule", ["r"])


async def test_a_visitor_s_variants_are_named(api: Api) -> None:
    api.shop.treatments["v1"] = Assignment({"colours": "b"})
    answer = await api.get("/v1/popular?visitor_id=v1", headers=KEYED)
    assert answer["experiments"] == {"colours": "b"}
    assert "experiments" not in await api.get("/v1/popular")


async def test_complements_are_by_topic_unless_type_is_asked_for(api: Api) -> None:
    api.shop.rule("t", "pin", products=("p28",), slots=("complement_topic",))
    api.shop.rule("u", "pin", products=("p29",), slots=("complement_type",))
    for query, first in (("", "p28"), ("?by=topic", "p28"), ("?by=type", "p29")):
        assert (await api.ids(f"/v1/products/p0/complements{query}"))[0] == first


async def test_a_search_tells_what_its_words_were_understood_as(api: Api) -> None:
    answer = await api.get("/v1/search", params={"q": "red lamps by Brand 1 under $20, no tents"})
    told = answer["inferred"]
    assert answer["understood_by"] == "parser"
    assert told["price_max"] == 20
    assert told["tags"] == ["red"]
    assert told["categories"] == ["Lamps"]
    assert told["brands"] == ["Brand 1"]
    assert {item["product_id"] for item in answer["items"]} == {"p1", "p16"}
    assert [item["source"] for item in answer["items"]] == ["popular", "relaxed"]


async def test_without_words_the_filters_are_browsed(api: Api) -> None:
    answer = await api.get("/v1/search", params={"q": "", "category": "Lamps", "price_max": 10})
    browsed = await api.get("/v1/popular", params={"category": "Lamps", "price_max": 10})
    found, popular = ([item["product_id"] for item in each["items"]] for each in (answer, browsed))
    assert found == popular
    assert answer["inferred"]["categories"] == ["Lamps"]
    everything = await api.get("/v1/search", params={"q": " "})
    assert [item["source"] for item in everything["items"]] == ["popular"] * 12


@pytest.mark.parametrize("words", ["p17", "P17", "Product 17", "product  17", "“Product 17”"])
async def test_the_name_or_id_of_a_product_finds_it_first(api: Api, words: str) -> None:
    answer = await api.get("/v1/search", params={"q": words, "k": 5})
    assert answer["items"][0]["product_id"] == "p17"
    assert answer["items"][0]["source"] == "named"
    assert len(answer["items"]) == 5
    hidden = await api.get("/v1/search", params={"q": words, "category": "Lamps", "k": 5})  # it is a tent
    assert "p17" not in [item["product_id"] for item in hidden["items"]]


async def test_where_nothing_fits_the_narrowest_wish_gives_way_and_each_is_counted(api: Api) -> None:
    answer = await api.get("/v1/search", params={"q": "lamps by Brand 1 under 1 €"})
    assert answer["notice"] == "No lamps by Brand 1 up to €1. Lamps by Brand 1:"
    assert [item["product_id"] for item in answer["items"]] == ["p1", "p16"]
    assert {item["source"] for item in answer["items"]} == {"relaxed"}
    assert answer["counts"] == [
        {"parameter": "category", "value": "Lamps", "products": 0},
        {"parameter": "brand", "value": "Brand 1", "products": 0},
        {"parameter": "price", "value": "", "products": 2},
    ]
    # What the caller filters by never gives way.
    kept = await api.get("/v1/search", params={"q": "lamps by Brand 1", "price_max": 1})
    assert {item["price"] for item in kept["items"]} == {1.0}
    nothing = await api.get("/v1/search", params={"q": "lamps", "price_max": 0.5})
    assert (nothing["items"], nothing["notice"]) == ([], "no product fits the filters")


async def test_words_of_no_language_find_what_is_popular_and_say_so(api: Api) -> None:
    answer = await api.get("/v1/search", params={"q": "asdfqwer", "k": 3})
    assert answer["notice"] == "Nothing is like “asdfqwer”: these are popular."
    assert {item["source"] for item in answer["items"]} == {"popular"}
    assert {item["why"] for item in answer["items"]} == {"popular now"}
    for words in ("wallett", "sommerkleid", "asdfqwer lamps", "qwx 17", "gabardine"):
        answer = await api.get("/v1/search", params={"q": words, "k": 3})
        assert "Nothing is like" not in answer.get("notice", "")


async def test_an_order_that_the_words_ask_for_can_be_taken_away(api: Api) -> None:
    async def prices(**given: object) -> list[float]:
        answer = await api.get("/v1/search", params={"q": "dearest lamps", "k": 10, **given})
        return [item["price"] for item in answer["items"]]

    dearest = await prices()
    assert dearest == sorted(dearest, reverse=True)
    assert len(dearest) == 10
    assert await prices(order="cheapest") == sorted(dearest)
    plain = await api.get("/v1/search", params={"q": "dearest lamps", "order": ""})
    assert "order" not in plain["inferred"]
    await api.get("/v1/search", 422, params={"q": "lamps", "order": "largest"})


async def test_each_inferred_parameter_can_be_replaced_or_taken_away(api: Api) -> None:
    q = "red lamps by Brand 1 under $20"

    async def ask(**given: object) -> Json:
        answer = await api.get("/v1/search", params={"q": q, "k": 30, **given})
        inferred: Json = answer["inferred"]
        return inferred | {"found": {item["product_id"] for item in answer["items"]}}

    assert (await ask())["found"] == {"p1", "p16"}
    assert (await ask(price_max=""))["found"] == {"p1", "p16"}
    assert "price_max" not in await ask(price_max="")
    assert (await ask(price_max=10))["found"] == {"p1"}
    without_brand = await ask(brand="")
    assert "brands" not in without_brand
    assert without_brand["found"] == {"p1", "p4", "p7", "p10", "p13", "p16", "p19"}
    assert (await ask(brand="Brand 4"))["found"] == {"p4", "p19"}
    assert (await ask(category=""))["found"] == {"p1", "p6", "p11", "p16"}
    assert (await ask(tag=""))["found"] == {"p1", "p16"}
    assert (await ask(tag="red"))["found"] == {"p16"}
    assert (await ask(brand="", category="", tag="", price_max="", price_min=29))["found"] == {"p28", "p29"}
    described = await ask(description="with stripes")
    assert described["description"] == "with stripes"
    near = await ask(price_near=5)
    assert near["price_near"] == 5


async def test_words_that_nobody_turns_into_vectors_leave_the_filters_and_say_so(api: Api) -> None:
    answer = await api.get("/v1/search", params={"q": "frobnicating lamps"})
    assert answer["fallback"] == "words_away"
    assert {item["category"][0] for item in answer["items"]} == {"Lamps"}
    assert (
        api.metrics.registry.get_sample_value("eddy_recommender_fallbacks_total", {"reason": "words_away"})
        == 1
    )
    assert api.metrics.registry.get_sample_value("eddy_recommender_understood_total", {"by": "parser"}) == 1


def test_the_document_names_every_parameter_once(common_api: Api) -> None:
    document = common_api.app.openapi()
    rows = {path: methods for path, methods in document["paths"].items() if path != "/v1/products"}
    assert len(rows) == len(PATHS)
    for path, methods in rows.items():
        names = [each["name"] for each in methods["get"]["parameters"]]
        assert len(names) == len(set(names)), path
        assert {"k", "weights", "visitor_id", "slot", *FILTERS} <= set(names), path
        assert not {"parameters", "further", "who", "authorization"} & set(names), path
        assert ("q" in names) == ("description" in names) == ("search" in path)
        assert ("404" in methods["get"]["responses"]) == ("{product_id}" in path)
