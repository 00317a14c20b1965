"""What a visitor's profile tells, to whom, and what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from schemas.events import EventType
from schemas.identities import Identity
from schemas.sessions import SessionSearch, encode
from services.model.session import Tuning
from services.recommender.api.profile import CatalogueVectors, Profile, profile_routes
from services.recommender.pipeline.experiments import AS_EVERYONE, Assignment
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.visitors.identity_graph import IdentityGraph
from services.web import problems
from services.web.auth import ReaderAuth, TokenSigner
from services.web.openapi import MsgspecApi
from tests.support.pipeline import LAYOUT, PipelineShop

SECRET = SecretStr("a secret of the test, long enough for it")
KEY = SecretStr("a key of the shop's own back end")
BY_KEY = {"Authorization": f"Bearer {KEY.get_secret_value()}"}


class Visitors:
    """The route on real sessions, people and products."""

    def __init__(self, shop: PipelineShop) -> None:
        self.shop = shop
        self.sessions, self.people = Sessions(LAYOUT, 10), IdentityGraph()
        self.joined = MergedSessions(self.sessions, self.people, shop.replica, LAYOUT, Tuning())
        self.signer = TokenSigner(SECRET)
        self.treatments: dict[str, Assignment] = {}
        self.waiting_for: str | None = None
        self.app = MsgspecApi("profiles", "of the test", [Profile], nothing)
        self.app.include_router(
            profile_routes(
                ReaderAuth(self.signer, KEY),
                self.joined,
                self.people,
                shop.catalogue,
                vectors=CatalogueVectors(shop.catalogue, shop.replica, LAYOUT),
                tuning=Tuning(),
                treatment=lambda visitor_id: self.treatments.get(visitor_id or "", AS_EVERYONE),
                waiting_for=lambda: self.waiting_for,
            )
        )
        problems.install(self.app, lambda _status: None)

    def look_at(self, visitor_id: str, *products: str, type_: EventType = "view_item") -> None:
        session = msgspec.structs.replace(self.shop.session(*products, type_=type_), visitor_id=visitor_id)
        self.sessions.put(visitor_id, PublishedSession(encode(session)))

    def join(self, visitor_id: str, user_id: str, *, proven: bool = False) -> None:
        identity = Identity(visitor_id=visitor_id, user_id=user_id, occurred_at=1, proven=proven)
        self.people.put(visitor_id, identity)


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def visitors(shop: PipelineShop) -> Visitors:
    return Visitors(shop)


@pytest.fixture
async def client(visitors: Visitors) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(visitors.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def profile(client: httpx.AsyncClient, visitor_id: str) -> Profile:
    answer = await client.get(f"/v1/visitors/{visitor_id}/profile", headers=BY_KEY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return msgspec.json.decode(answer.content, type=Profile, strict=True)


async def test_interests_come_with_the_event_that_weighs_most(
    visitors: Visitors, client: httpx.AsyncClient
) -> None:
    visitors.look_at("v", "p1", "p0", "p3")  # a lamp, then two pairs of shoes
    found = await profile(client, "v")
    assert [interest.category for interest in found.interests] == ["Shoes", "Lamps"]
    weights = [interest.weight for interest in found.interests]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1, abs=1e-3)
    newest = found.interests[0].because
    assert (newest.product_id, newest.name, newest.type) == ("p3", "Product 3", "view_item")
    assert found.interests[1].because.product_id == "p1"


async def test_interests_are_told_in_words_and_searches_beside_them(
    visitors: Visitors, client: httpx.AsyncClient
) -> None:
    shop = visitors.shop
    searches = tuple(SessionSearch(at, bytes([at]), words) for at, words in ((1, "hats"), (2, "boots")))
    session = msgspec.structs.replace(shop.session("p0", "p3"), visitor_id="v", searches=searches)
    visitors.sessions.put("v", PublishedSession(encode(session)))
    found = await profile(client, "v")
    assert [(each.words, each.occurred_at) for each in found.searches] == [("boots", 2), ("hats", 1)]
    [interest] = found.interests
    shown = [shop.catalogue.get(each) for each in ("p0", "p3")]
    prices = [each.price for each in shown if each]
    assert interest.path[0] == interest.category == "Shoes"
    assert interest.price is not None
    assert (interest.price.low, interest.price.high) == (min(prices), max(prices))


async def test_events_are_the_newest_first_and_have_names_while_the_product_is_sold(
    visitors: Visitors, client: httpx.AsyncClient
) -> None:
    visitors.look_at("v", "p1", "p2", type_="purchase")
    visitors.shop.catalogue.remove("p1")
    events = (await profile(client, "v")).events
    assert [(each.product_id, each.name, each.type) for each in events] == [
        ("p2", "Product 2", "purchase"),
        ("p1", None, "purchase"),
    ]
    assert events[0].occurred_at > events[1].occurred_at


async def test_of_somebody_unknown_nothing_is_known(client: httpx.AsyncClient) -> None:
    assert await profile(client, "nobody") == Profile(
        visitor_id="nobody", interests=(), events=(), visitors=1, experiments={}
    )


async def test_joined_visitors_have_one_history(visitors: Visitors, client: httpx.AsyncClient) -> None:
    visitors.look_at("phone", "p0")
    visitors.look_at("laptop", "p1")
    for visitor_id in ("phone", "laptop"):
        visitors.join(visitor_id, "ada")
    found = await profile(client, "phone")
    assert found.visitors == 2
    assert {each.product_id for each in found.events} == {"p0", "p1"}
    assert (await profile(client, "user:ada")).events == found.events


async def test_a_visitor_is_shown_what_is_proven_to_be_its_own(
    visitors: Visitors, client: httpx.AsyncClient
) -> None:
    visitors.look_at("phone", "p0")
    visitors.look_at("laptop", "p1")
    visitors.look_at("thief", "p2")
    for visitor_id in ("phone", "laptop"):
        visitors.join(visitor_id, "ada", proven=True)
    visitors.join("thief", "ada")

    async def ask(visitor_id: str) -> tuple[set[str], int, set[str]]:
        token = {"X-Eddy-Token": visitors.signer.issue(visitor_id).token}
        answer = await client.get(f"/v1/visitors/{visitor_id}/profile", headers=token)
        assert answer.status_code == 200, answer.text
        found = msgspec.json.decode(answer.content, type=Profile)
        because = {each.because.product_id for each in found.interests}
        return {each.product_id for each in found.events}, found.visitors, because

    assert await ask("thief") == ({"p2"}, 1, {"p2"})
    events, browsers, because = await ask("phone")
    assert (events, browsers) == ({"p0", "p1"}, 2)
    assert because <= events
    whole = await profile(client, "thief")  # the back end's key
    assert {each.product_id for each in whole.events} == {"p0", "p1", "p2"}
    assert whole.visitors == 3


async def test_it_tells_the_visitors_variants(visitors: Visitors, client: httpx.AsyncClient) -> None:
    visitors.treatments["v"] = Assignment({"diversity": "more"})
    assert (await profile(client, "v")).experiments == {"diversity": "more"}
    assert (await profile(client, "w")).experiments == {}


async def test_a_visitor_sees_its_own_with_its_token(visitors: Visitors, client: httpx.AsyncClient) -> None:
    token = visitors.signer.issue("v").token
    assert (await client.get("/v1/visitors/v/profile", params={"token": token})).status_code == 200
    assert (await client.get("/v1/visitors/w/profile", params={"token": token})).status_code == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/visitors/v/profile", {}, 401),
        ("/v1/visitors/v/profile?token=nonsense", {}, 401),
        ("/v1/visitors/v/profile", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/visitors/v/profile?k=3", BY_KEY, 422),
        ("/v1/visitors/a%20b/profile", BY_KEY, 422),
        (f"/v1/visitors/{'v' * 65}/profile", BY_KEY, 422),
    ],
)
async def test_what_is_refused(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_while_the_state_is_read_it_says_when_to_ask_again(
    visitors: Visitors, client: httpx.AsyncClient
) -> None:
    visitors.waiting_for = "the topic sessions"
    answer = await client.get("/v1/visitors/v/profile", headers=BY_KEY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
