"""The demo shop's own server: pages, cart, orders, back office, and what browsers are told to forbid."""

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from infra.stack.broker import ROOT
from schemas import products
from schemas.products import Product
from storefront.demo.app import create_app
from storefront.demo.catalogue.generator import made
from storefront.demo.settings import ShopSettings
from storefront.demo.stock import CatalogueMissing

KEY = "a-key-of-sixteen-or-more"
ORIGIN = "http://127.0.0.1:8000"
IMPORT = r'^import .*from "(\.[^"]+)";$'
OWN_PAGE = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def everything() -> list[Product]:
    found = [each.product for each in made(150, 7)]
    assert any(product.availability == "out_of_stock" for product in found)
    return found


@pytest.fixture
def settings(tmp_path: Path, everything: list[Product]) -> ShopSettings:
    (tmp_path / "products.jsonl").write_bytes(b"\n".join(map(products.encode, everything)))
    return ShopSettings(catalogue_dir=tmp_path, api_key=SecretStr(KEY))


class FakeIngest(httpx.AsyncBaseTransport):
    """Remembers what it was sent; answers with `answers`, then with `status`, or is away without one."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response] = []
        self.status: int | None = 202
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if self.status is None:
            raise httpx.ConnectError("refused", request=request)
        if self.answers:
            return self.answers.pop(0)
        return httpx.Response(self.status, json={"accepted": 1, "rejected": []})


@pytest.fixture
def ingest() -> FakeIngest:
    return FakeIngest()


@pytest.fixture
async def shop(settings: ShopSettings, ingest: FakeIngest) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(settings, ingest))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


def read_happenings(answer: httpx.Response) -> list[dict[str, Any]]:
    """What the page tells the dataLayer."""
    match = re.search(r"data-happened='([^']*)'", answer.text)
    assert match is not None
    found: list[dict[str, Any]] = json.loads(unescape(match[1]))
    return found


def cards(answer: httpx.Response) -> list[str]:
    """Product ids of the page's own cards, those of the row that every page has apart."""
    body, _, _ = answer.text.partition('id="for-you"')
    return re.findall(r'<li class="card[^"]*" data-id="([^"]+)"', body)


def can_be_had(answer: httpx.Response) -> bool:
    """Whether a product's page offers it."""
    offered = re.search(r'<form[^>]*data-cart="add"[^>]*>', answer.text)
    said = re.search(r'<p class="sold-out"[^>]*>Sold out for now', answer.text)
    assert offered is not None
    assert said is not None
    assert offered[0].endswith(" hidden>") != (" hidden>" in said[0])
    return not offered[0].endswith(" hidden>")


def find_sold_out(everything: list[Product]) -> Product:
    return next(product for product in everything if product.availability == "out_of_stock")


async def test_every_page_is_there(shop: httpx.AsyncClient) -> None:
    for path in (
        "/", "/category/women", "/category/women/shoes", "/product/p0001", "/search?q=boots", "/search",
        "/profile", "/cart", "/backoffice", "/readyz", "/healthz", "/favicon.ico", "/eddy/tracker.js",
        "/eddy/live.js", "/static/shop.css", "/static/shop.js",
    ):  # fmt: skip
        assert (await shop.get(path)).status_code == 200, path


async def test_files_are_named_by_their_content_and_kept_for_ever(shop: httpx.AsyncClient) -> None:
    page = await shop.get("/")
    named = set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text))
    assert len(named) > 20
    for address in named:
        answer = await shop.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"], address
        packed = answer.headers.get("content-encoding") == "gzip"
        assert packed is not address.endswith(".woff2") or len(answer.content) < 500, address
    [script] = re.findall(r'<script type="module" src="([^"]+)"', page.text)
    of_before = re.sub(r"/assets/\w+/", "/assets/0123456789ab/", script)
    assert (await shop.get(of_before)).headers["cache-control"] == "no-cache"
    assert (await shop.get(script.replace("shop.js", "%2e%2e/app.py"))).status_code == 404
    assert page.headers["content-encoding"] == "gzip"


async def test_all_that_a_page_runs_is_fetched_at_once(shop: httpx.AsyncClient) -> None:
    page = await shop.get("/")
    preloaded = set(re.findall(r'rel="modulepreload" href="([^"]+)"', page.text))
    [script] = re.findall(r'<script type="module" src="([^"]+)"', page.text)
    run, waiting = set[str](), [script]
    while waiting:
        address = waiting.pop()
        run.add(address)
        text = (await shop.get(address)).text
        found = {
            str(httpx.URL(f"{ORIGIN}{address}").join(each).path) for each in re.findall(IMPORT, text, re.M)
        }
        waiting += found - run
    assert run == preloaded


async def test_every_link_of_the_home_page_leads_somewhere(shop: httpx.AsyncClient) -> None:
    links = set(re.findall(r'href="(/[^"#]*)"', (await shop.get("/")).text))
    assert len(links) > 20
    for link in links:
        assert (await shop.get(unescape(link))).status_code == 200, link


@pytest.mark.parametrize("path", ["/nothing", "/product/p9999", "/category/women/rockets", "/order/1"])
async def test_what_is_not_there_has_a_page_that_says_so(shop: httpx.AsyncClient, path: str) -> None:
    answer = await shop.get(path)
    assert answer.status_code == 404
    assert "This page drifted away" in answer.text


async def test_a_page_allows_its_own_code_and_the_two_apis_only(shop: httpx.AsyncClient) -> None:
    answer = await shop.get("/")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self' http://127.0.0.1:8001 http://127.0.0.1:8002 ws://127.0.0.1:8002;" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text)


async def test_a_product_page_tells_what_was_viewed(
    shop: httpx.AsyncClient, everything: list[Product]
) -> None:
    product = everything[0]
    answer = await shop.get("/product/p0001")
    assert unescape(answer.text).count(product.name) > 1
    assert f"€{product.price:.2f}" in answer.text
    (push,) = read_happenings(answer)
    assert push["event"] == "view_item"
    assert push["ecommerce"]["items"][0]["item_id"] == "p0001"


async def test_a_shelf_tells_its_list_and_shows_pages_of_it(
    shop: httpx.AsyncClient, everything: list[Product]
) -> None:
    women = [product for product in everything if product.top_category == "Women"]
    first, second = await shop.get("/category/women"), await shop.get("/category/women?page=2")
    shown = [
        item["item_id"] for page in (first, second) for item in read_happenings(page)[0]["ecommerce"]["items"]
    ]
    assert read_happenings(first)[0]["ecommerce"]["item_list_id"] == "category:Women"
    assert set(shown) == {product.product_id for product in women}
    assert len(shown) == len(women)


async def test_a_shelf_is_sorted_by_price(shop: httpx.AsyncClient, everything: list[Product]) -> None:
    prices = {product.product_id: product.price for product in everything}
    (push,) = read_happenings(await shop.get("/category/home?sort=price"))
    shown = [prices[item["item_id"]] for item in push["ecommerce"]["items"]]
    assert shown == sorted(shown)


async def test_search_finds_every_word_anywhere(shop: httpx.AsyncClient, everything: list[Product]) -> None:
    product = everything[0]
    answer = await shop.get("/search", params={"q": f"{product.brand} {product.type}".upper()})
    assert [push["event"] for push in read_happenings(answer)] == ["search"]
    assert product.product_id in cards(answer)


async def test_a_search_without_the_recommender_is_whole_and_has_no_chips(shop: httpx.AsyncClient) -> None:
    answer = await shop.get("/search", params={"q": "striped", "brand": "", "without_tag": "red"})
    assert cards(answer)
    assert re.search(r'data-part="understood" hidden>', answer.text)
    assert re.search(r'data-part="closely"[^>]* hidden>', answer.text)
    nothing = await shop.get("/search", params={"q": "zeppelin"})
    assert cards(nothing) == []
    assert "Nothing has all of these words" in nothing.text


async def test_a_profile_without_javascript_says_that_there_is_none(shop: httpx.AsyncClient) -> None:
    answer = await shop.get("/profile")
    assert "Without JavaScript nothing is told" in answer.text
    assert re.search(r'data-part="known" hidden>', answer.text)
    assert "somebody new now" not in answer.text
    assert "somebody new now" in (await shop.get("/profile?forgotten")).text


async def test_a_visitor_is_forgotten_by_its_own_token(shop: httpx.AsyncClient, ingest: FakeIngest) -> None:
    ingest.answers = [
        httpx.Response(200, json={"visitor_id": "v:1", "token": "a fresh one"}),
        httpx.Response(202, json={}),
    ]
    answer = await shop.post("/forget", json={"token": "the token of v:1"}, headers=OWN_PAGE)
    assert answer.status_code == 202
    asked, deleted = ingest.requests
    assert (asked.url.path, asked.headers.get("authorization")) == ("/v1/visitors", None)
    assert msgspec.json.decode(asked.content) == {"token": "the token of v:1"}
    assert (deleted.method, deleted.url.path) == ("DELETE", "/v1/visitors/v:1")
    assert deleted.headers["x-eddy-token"] == "a fresh one"
    assert "authorization" not in deleted.headers


async def test_nobody_is_forgotten_by_a_wrong_token_or_from_elsewhere(
    shop: httpx.AsyncClient, ingest: FakeIngest
) -> None:
    ingest.answers = [httpx.Response(401, json={"detail": "the visitor token is not valid"})]
    answer = await shop.post("/forget", json={"token": "another's"}, headers=OWN_PAGE)
    assert answer.status_code == 502
    assert "401" in answer.json()["detail"]
    assert (await shop.post("/forget", json={"token": "mine"})).status_code == 403
    assert (await shop.post("/forget", content=b"?", headers=OWN_PAGE)).status_code == 422
    assert len(ingest.requests) == 1


async def test_a_product_page_shows_its_kind_where_rows_do_not_come(
    shop: httpx.AsyncClient, everything: list[Product]
) -> None:
    shelf = {product.product_id: product.category for product in everything}
    [(most, _)] = Counter(
        product.category for product in everything if product.availability == "in_stock"
    ).most_common(1)
    product_id = next(product_id for product_id, category in shelf.items() if category == most)
    beside = cards(await shop.get(f"/product/{product_id}"))
    assert beside
    assert {shelf[other] for other in beside} == {most}
    assert product_id not in beside


async def test_what_is_typed_comes_back_as_text(shop: httpx.AsyncClient) -> None:
    answer = await shop.get("/search", params={"q": "<script>alert('1')</script>\"'"})
    assert "<script>alert" not in answer.text
    assert read_happenings(answer) == [{"event": "search", "search_term": "<script>alert('1')</script>\"'"}]


async def test_a_cart_works_without_javascript(shop: httpx.AsyncClient, everything: list[Product]) -> None:
    product = next(each for each in everything if each.availability == "in_stock")
    for _ in range(2):
        added = await shop.post("/cart/add", data={"product_id": product.product_id})
        assert (added.status_code, added.headers["location"]) == (303, "/cart")
    answer = await shop.get("/cart")
    assert f"€{2 * product.price:,.2f}" in answer.text
    assert read_happenings(await shop.get("/checkout"))[0]["event"] == "begin_checkout"
    placed = await shop.post("/checkout")
    (push,) = read_happenings(await shop.get(placed.headers["location"]))
    assert push["event"] == "purchase"
    assert push["ecommerce"]["items"][0]["quantity"] == 2
    assert push["ecommerce"]["value"] == round(2 * product.price, 2)
    assert "It is empty" in (await shop.get("/cart")).text


async def test_a_line_is_taken_out_of_the_cart(shop: httpx.AsyncClient) -> None:
    await shop.post("/cart/add", data={"product_id": "p0001"})
    await shop.post("/cart/remove", data={"product_id": "p0001"})
    assert "It is empty" in (await shop.get("/cart")).text


@pytest.mark.parametrize(
    "cookie", ["p0001=x", "p0001=-1", "=1", "&&&", "p9999=1", "p0001=0", "%00=1", "p0001=٣"]
)
async def test_a_broken_cart_is_an_empty_one(shop: httpx.AsyncClient, cookie: str) -> None:
    answer = await shop.get("/cart", headers={b"Cookie": f"eddy_cart={cookie}".encode()})
    assert answer.status_code == 200
    assert "It is empty" in answer.text


async def test_what_is_sold_out_is_no_part_of_an_order(
    shop: httpx.AsyncClient, everything: list[Product]
) -> None:
    await shop.post("/cart/add", data={"product_id": find_sold_out(everything).product_id})
    assert "Sold out, not part of the order" in (await shop.get("/cart")).text
    assert (await shop.get("/checkout")).headers["location"] == "/cart"


async def test_the_back_office_tells_ingest_first_and_then_the_shop(
    shop: httpx.AsyncClient, ingest: FakeIngest, everything: list[Product]
) -> None:
    product = next(each for each in everything if each.availability == "in_stock")
    change = {"product_id": product.product_id, "availability": "out_of_stock"}
    answer = await shop.post("/backoffice?q=boots", data=change, headers=OWN_PAGE)
    assert answer.headers["location"] == f"/backoffice?q=boots#{product.product_id}"
    (request,) = ingest.requests
    assert (request.method, request.url.path) == ("PUT", "/v1/products")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    (sent,) = msgspec.json.decode(request.content, type=dict[str, list[Product]])["products"]
    assert sent.availability == "out_of_stock"
    assert sent.updated_at > product.updated_at
    assert not can_be_had(await shop.get(f"/product/{product.product_id}"))
    back = change | {"availability": "in_stock"}
    await shop.post("/backoffice", data=back, headers=OWN_PAGE)
    newest = msgspec.json.decode(ingest.requests[-1].content, type=dict[str, list[Product]])["products"][0]
    assert newest.updated_at > sent.updated_at
    assert can_be_had(await shop.get(f"/product/{product.product_id}"))


async def test_pages_of_other_hosts_find_the_demos_pictures(
    settings: ShopSettings, ingest: FakeIngest, everything: list[Product]
) -> None:
    """The catalogue is loaded with whole addresses, and a change must not take them back."""
    told = settings.model_copy(update={"catalogue_url": f"{ORIGIN}/"})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(told, ingest)), base_url=ORIGIN
    ) as shop:
        change = {"product_id": everything[3].product_id, "price": "12"}
        assert (await shop.post("/backoffice", data=change, headers=OWN_PAGE)).status_code == 303
    [sent] = msgspec.json.decode(ingest.requests[-1].content, type=dict[str, list[Product]])["products"]
    assert sent.image_url == f"{ORIGIN}/{everything[3].image_url}"
    assert sent.url == f"{ORIGIN}{everything[3].url}"


async def test_a_price_is_changed_in_the_shop_and_for_eddy(
    shop: httpx.AsyncClient, ingest: FakeIngest, everything: list[Product]
) -> None:
    product = everything[3]
    change = {"product_id": product.product_id, "price": "1234.567"}
    assert (await shop.post("/backoffice", data=change, headers=OWN_PAGE)).status_code == 303
    [sent] = msgspec.json.decode(ingest.requests[-1].content, type=dict[str, list[Product]])["products"]
    assert (sent.price, sent.availability) == (1234.57, product.availability)
    assert "€1,234.57" in (await shop.get(f"/product/{product.product_id}")).text


@pytest.mark.parametrize("change", [{"price": text} for text in ("", "-1", "nan", "inf", "1e9", "a lot")])
async def test_what_is_no_price_changes_nothing(
    shop: httpx.AsyncClient, ingest: FakeIngest, change: dict[str, str]
) -> None:
    answer = await shop.post("/backoffice", data={"product_id": "p0001", **change}, headers=OWN_PAGE)
    assert answer.status_code == 422
    assert "a price is a number from 0 to 100,000" in answer.text
    assert ingest.requests == []


@pytest.mark.parametrize("status", [None, 401, 503])
async def test_what_ingest_has_not_taken_is_not_changed(
    shop: httpx.AsyncClient, ingest: FakeIngest, everything: list[Product], status: int | None
) -> None:
    ingest.status = status
    product = next(each for each in everything if each.availability == "in_stock")
    change = {"product_id": product.product_id, "availability": "out_of_stock"}
    answer = await shop.post("/backoffice", data=change, headers=OWN_PAGE)
    assert answer.status_code == 502
    assert "Nothing was changed: ingest" in answer.text
    assert can_be_had(await shop.get(f"/product/{product.product_id}"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.test"},
        {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:9000", "Sec-Fetch-Site": "same-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ],
)
async def test_other_pages_change_nothing(
    shop: httpx.AsyncClient, ingest: FakeIngest, headers: dict[str, str]
) -> None:
    change = {"product_id": "p0001", "availability": "out_of_stock"}
    assert (await shop.post("/backoffice", data=change, headers=headers)).status_code == 403
    assert ingest.requests == []


async def test_another_name_for_this_machine_is_refused(shop: httpx.AsyncClient) -> None:
    assert (await shop.get("/backoffice", headers={"Host": "rebound.test"})).status_code == 400


async def test_a_shop_that_others_reach_has_no_back_office(settings: ShopSettings) -> None:
    transport = httpx.ASGITransport(create_app(settings.model_copy(update={"shop_host": "0.0.0.0"})))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.get("/backoffice")).status_code == 404
        assert "/backoffice" not in (await client.get("/")).text


async def test_a_form_has_a_limit(shop: httpx.AsyncClient) -> None:
    assert (await shop.post("/cart/add", data={"product_id": "p" * 5000})).status_code == 413


@pytest.mark.parametrize("content", [None, "", "{}"])
def test_without_a_catalogue_it_says_what_to_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "products.jsonl").write_text(content)
    with pytest.raises(CatalogueMissing, match=r"python -m storefront\.demo\.catalogue --out"):
        create_app(ShopSettings(catalogue_dir=tmp_path))


def test_a_port_in_use_is_told_with_the_setting_s_name(settings: ShopSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {"EDDY_SHOP_PORT": str(port), "EDDY_CATALOGUE_DIR": str(settings.catalogue_dir)}
        done = subprocess.run(
            [sys.executable, "-m", "storefront.demo"],
            env=os.environ | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "set EDDY_SHOP_PORT" in done.stderr
