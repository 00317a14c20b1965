"""A page is not one row several times: over the socket, over HTTP, and whatever slots it has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas import sessions
from schemas.live import Recommendations, RecommendedItem, Slot, SlotKind
from services.model.session import Tuning
from services.recommender.api.page import STRUCTS, page_routes
from services.recommender.api.recommendations import Recommended, RequestHandler
from services.recommender.impressions import Impressions
from services.recommender.live.protocol import LiveSubscription
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.recommender.pipeline.distinct import find_overlaps, find_shown, is_distinct
from services.recommender.pipeline.request import RequestBuilder
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.visitors.identity_graph import IdentityGraph
from services.web import problems
from services.web.auth import ReaderAuth, TokenSigner
from services.web.openapi import MsgspecApi
from tests.support.models import behaviour
from tests.support.pipeline import LAYOUT, TOGETHER, PipelineShop, parsing_searcher
from tests.support.pipeline import product as shop_product

KINDS: list[SlotKind] = ["for_you", "similar", "also_liked", "complement_topic", "popular"]
ALL: list[SlotKind] = [*KINDS, "search", "products"]
TOKENS = TokenSigner(SecretStr("a secret of the test, long enough"))


def slot(kind: SlotKind, k: int = 4, **fields: Any) -> Slot:
    about: dict[str, Any] = {"product_id": "p0"} if kind not in ("for_you", "popular", "search") else {}
    about |= {"query": "lamps"} if kind == "search" else {}
    about |= {"product_ids": ("p1", "p2")} if kind == "products" else {}
    return Slot(**({"name": kind, "kind": kind, "k": k} | about | fields))


def row(*product_ids: str) -> tuple[RecommendedItem, ...]:
    return tuple(
        RecommendedItem(
            product_id=each, score=0, source="content", why="", name="", price=1, currency="EUR",
            availability="in_stock",
        )
        for each in product_ids
    )  # fmt: skip


SLOTS = st.lists(
    st.tuples(st.sampled_from(ALL), st.booleans()), min_size=1, max_size=6, unique_by=lambda each: each[0]
).map(lambda found: [slot(kind, distinct=distinct) for kind, distinct in found])
IDS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)


@given(SLOTS, st.lists(IDS, min_size=6, max_size=6), st.data())
def test_a_slot_leaves_out_what_distinct_slots_before_it_show_and_tells_those_behind_it(
    slots: list[Slot], shown: list[list[str]], data: st.DataObject
) -> None:
    rows = {each.name: row(*names) for each, names in zip(slots, shown, strict=False)}
    sets = {name: {item.product_id for item in items} for name, items in rows.items()}
    name = data.draw(st.sampled_from([each.name for each in slots]))
    place = next(nth for nth, each in enumerate(slots) if each.name == name)
    before, behind = filter(is_distinct, slots[:place]), filter(is_distinct, slots[place + 1 :])
    if not is_distinct(slots[place]):
        assert (find_shown(slots, name, rows), find_overlaps(slots, name, rows)) == (frozenset(), [])
        return
    assert find_shown(slots, name, rows) == set().union(*(sets[each.name] for each in before))
    assert find_overlaps(slots, name, rows) == [each.name for each in behind if sets[each.name] & sets[name]]


class Pages:
    """The small shop with its sessions, sockets and the route of pages."""

    def __init__(self, shop: PipelineShop) -> None:
        self.shop = shop
        shop.model = behaviour(TOGETHER)
        self.metrics = Metrics()
        self.hub = SubscriptionRegistry(self.metrics)
        self.sessions = Sessions(LAYOUT, 10)
        self.joined = MergedSessions(self.sessions, IdentityGraph(), shop.replica, LAYOUT, Tuning())
        searcher = parsing_searcher(shop.catalogue.products(), self.metrics)
        self.builder = RequestBuilder(self.joined, searcher)
        self.impressions = Impressions(None, "recommendations", self.metrics, lambda: 0.0)
        self.messages: list[Recommendations] = []

    def app(self) -> FastAPI:
        door = ReaderAuth(TOKENS, SecretStr("a key"))
        answerer = RequestHandler(
            door,
            self.shop.rows,
            sessions=self.joined,
            impressions=self.impressions,
            models=lambda _version: {},
            waiting_for=lambda: None,
            metrics=self.metrics,
        )
        app = MsgspecApi("pages", "of the test", [Recommended, *STRUCTS], nothing)
        app.include_router(page_routes(door, answerer, self.shop.rows, self.builder))
        problems.install(app, lambda _status: None)
        return app

    async def post(self, body: object, status: int = 200, token: str | None = None) -> dict[str, Any]:
        headers = {} if token is None else {"X-Eddy-Token": token}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app()), base_url="http://eddy"
        ) as client:
            answer = await client.post("/v1/page", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def visit(self, *products: str, dismissed: str | None = None) -> PublishedSession:
        session = self.shop.session(*products)
        if dismissed is not None:
            other = self.shop.session(dismissed, type_="dismiss_item").events[0]
            session = msgspec.structs.replace(session, events=(*session.events, other))
        published = PublishedSession(sessions.encode(session), caused_by="click", accepted_at=1.0)
        self.sessions.put("v", published)
        return published

    def subscribe(self, *slots: Slot) -> LiveSubscription:
        subscription = LiveSubscription(
            "v",
            rows=self.shop.rows,
            asks=self.builder,
            sessions=self.joined,
            impressions=self.impressions,
            models=lambda _version: {},
            metrics=self.metrics,
            turns=self.hub.lock("turns"),  # type: ignore[arg-type]  # one at a time
            on_shown=self.hub.record_row,
        )
        self.hub.add(subscription)
        subscription.subscribe(slots)
        return subscription

    async def settle(self, subscription: LiveSubscription) -> dict[str, list[str]]:
        """What the page shows in the end, by slot."""

        async def take(message: bytes) -> None:
            self.messages.append(msgspec.json.decode(message, type=Recommendations))

        await subscription.push(take)
        return {each.slot: [item.product_id for item in each.items] for each in self.messages}


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def pages(shop: PipelineShop) -> Pages:
    return Pages(shop)


def all_of(rows: dict[str, list[str]]) -> list[str]:
    return [product_id for products in rows.values() for product_id in products]


async def test_no_product_is_twice_on_a_page(pages: Pages) -> None:
    pages.visit("p3", "p0")
    rows = await pages.settle(pages.subscribe(*map(slot, KINDS)))
    assert rows.keys() == set(KINDS)
    assert [len(each) for each in rows.values()] == [4] * len(KINDS)
    assert len(set(all_of(rows))) == len(all_of(rows))
    first = next(each for each in pages.messages if each.slot == "for_you")
    assert first.causes.keys() == {item.reason.product_id for item in first.items if item.reason}


async def test_a_row_moves_on_only_where_an_earlier_one_takes_its_products(pages: Pages) -> None:
    pages.visit("p3")
    subscription = pages.subscribe(*map(slot, KINDS))
    before = await pages.settle(subscription)
    pages.messages.clear()
    subscription.session_changed(pages.visit("p3", "p16"))
    after = before | await pages.settle(subscription)
    assert pages.messages[0].slot == "for_you"
    taken = set(after["for_you"])
    moved = {each.slot for each in pages.messages} - {"for_you"}
    assert moved == {name for name in KINDS[1:] if after[name] != before[name]}
    assert {name for name in KINDS[1:] if taken & set(before[name])} <= moved
    assert len(set(all_of(after))) == len(all_of(after))


async def test_searches_and_named_products_neither_take_nor_give_up(pages: Pages) -> None:
    pages.visit("p3")
    slots = [
        slot("products"),
        slot("search", k=6),
        slot("popular", k=6),
        slot("similar", distinct=False, k=6),
    ]
    rows = await pages.settle(pages.subscribe(*slots))
    alone = {each.name: await pages.settle(pages.subscribe(each)) for each in slots}
    assert rows == {name: found[name] for name, found in alone.items()}
    assert rows["products"] == ["p1", "p2"]


async def test_what_is_wanted_no_more_leaves_every_row_that_shows_it(pages: Pages) -> None:
    pages.visit("p3")
    subscription = pages.subscribe(slot("popular"), slot("similar"), slot("products"))
    before = await pages.settle(subscription)
    assert "p2" in before["popular"]
    pages.messages.clear()
    subscription.session_changed(pages.visit("p3", dismissed="p2"))
    after = await pages.settle(subscription)
    assert after.keys() == {"popular"}
    assert "p2" not in after["popular"]


async def test_a_short_row_of_complements_waits_only_for_what_would_fill_it(pages: Pages) -> None:
    for number in range(2, 30):
        pages.shop.put(number, availability="out_of_stock", updated_at=1)
    subscription = pages.subscribe(slot("complement_topic"))
    pages.hub.session_changed("v", pages.visit("p3"))
    assert (await pages.settle(subscription))["complement_topic"] == ["p1"]
    pages.messages.clear()
    pages.shop.catalogue.put(shop_product(100))
    pages.hub.product_changed("p100")  # a new product that nobody has looked at
    assert await pages.settle(subscription) == {}
    pages.shop.put(4, updated_at=2)
    pages.hub.product_changed("p4")
    assert set((await pages.settle(subscription))["complement_topic"]) == {"p1", "p4"}


async def test_a_page_over_http_is_the_page_of_the_socket(pages: Pages) -> None:
    pages.visit("p3", "p0")
    slots = [*map(slot, KINDS)]
    shown = await pages.settle(pages.subscribe(*slots))
    token = TOKENS.issue("v").token
    answer = await pages.post({"visitor_id": "v", "slots": slots}, token=token)
    assert [each["slot"] for each in answer["rows"]] == KINDS
    assert {each["slot"]: [item["product_id"] for item in each["items"]] for each in answer["rows"]} == shown
    assert answer["rows"][1]["causes"].keys() == {"p0"}
    assert "funnel" not in answer["rows"][0]
    debug = await pages.post({"visitor_id": "v", "slots": [slot("similar", debug=True)]}, token=token)
    assert debug["rows"][0]["funnel"]["left"]["row"] == 4
    assert debug["rows"][0]["items"][0]["parts"]


async def test_a_page_of_nobody_needs_no_token_and_one_of_a_visitor_does(pages: Pages) -> None:
    rows = (await pages.post({"slots": [slot("for_you"), slot("similar")]}))["rows"]
    assert rows[0]["fallback"] == "new_visitor"
    assert rows[1]["items"]
    refused = await pages.post({"visitor_id": "v", "slots": [slot("popular")]}, 401)
    assert refused["type"] == "urn:eddy:problem:not-authorised"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "no JSON"),
        ({}, 422, "slots"),
        ({"slots": []}, 422, "slots"),
        ({"slots": [{"name": "a", "kind": "similar"}]}, 422, "needs a product_id"),
        ({"slots": [{"name": "a", "kind": "popular", "brand": "x"}]}, 422, "brand"),
        ({"slots": [{"name": "a", "kind": "popular"}] * 2}, 422, "two slots"),
        ({"slots": [{"name": f"{nth}", "kind": "popular"} for nth in range(17)]}, 422, "slots"),
        (b"[" + b" " * 300_000 + b"]", 413, "262144"),
    ],
)
async def test_what_no_rows_can_be_made_from_is_refused_with_the_reason(
    pages: Pages, body: object, status: int, told: str
) -> None:
    assert told in (await pages.post(body, status))["detail"]
