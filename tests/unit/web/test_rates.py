"""Requests a second of a token, a key and an address: who is refused, for how long, and what it costs."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from http import HTTPStatus
from time import perf_counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket

from services.web import problems
from services.web.bounds import BoundsSettings
from services.web.rates import Quota, RateLimit, RateLimits, RateMiddleware, count_events, network
from tests.support.http import serve_app

API_KEY, WRITE_KEY = SecretStr("the key of the shop"), SecretStr("the public write key")
TIGHT = BoundsSettings(rate_token=1, rate_token_events=300, rate_key=5, rate_address=3, rate_new_visitors=0.5)


class Clock:
    """Seconds, moved by the tests."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=60),
    st.floats(0.5, 20),
    st.integers(4, 30),
)
def test_no_stretch_of_time_lets_more_through_than_a_burst_and_the_rate(
    asked: list[tuple[float, int]], per_s: float, burst: int
) -> None:
    clock = Clock()
    limit = RateLimit(per_s, burst, clock)
    taken: list[tuple[float, int]] = []
    for gap, cost in asked:
        clock.now += gap
        wait_s = limit.take("somebody", cost)
        if wait_s:
            clock.now += wait_s  # who waits as long as it was told is let in
            assert limit.take("somebody", cost) == 0
        taken.append((clock.now, cost))
        assert limit.take("somebody else") == 0 or len(taken) > 1
    for first, (start, _) in enumerate(taken):
        total = 0
        for at, cost in taken[first:]:
            total += cost
            assert total <= burst + per_s * (at - start) + 1e-3


def test_keys_that_are_invented_take_bounded_memory() -> None:
    limit = RateLimit(1, 2, Clock(), keys_max=100)
    for number in range(10_000):
        limit.take(number)
        limit.take("regular")
    assert len(limit) <= 200
    assert limit.take("regular") > 0  # it was used all along, and is not forgotten for the others


class Client:
    """Asks an app without a server between, always from one address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, client=("203.0.113.9", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.request(method, path, **options)

    def handshake(self) -> list[Message]:
        """What is said to a browser that opens a socket and goes away."""
        said: list[Message] = []
        heard: Iterator[Message] = iter(
            [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
        )

        async def receive() -> Message:
            return next(heard)

        async def send(message: Message) -> None:
            said.append(message)

        scope = {
            "type": "websocket",
            "path": "/v1/live",
            "query_string": b"",
            "headers": [],
            "client": ("203.0.113.9", 1),
            "extensions": {"websocket.http.response": {}},
        }

        async def open_socket() -> None:
            await self._app(scope, receive, send)

        asyncio.run(open_socket())
        return said


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals() -> list[str]:
    return []


@pytest.fixture
def client(clock: Clock, refusals: list[str]) -> Client:
    app = FastAPI()

    async def take_events(request: Request) -> dict[str, str]:
        count_events(request, 1500)
        return {}

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app.add_api_route("/v1/popular", lambda: {})
    app.add_api_route("/v1/search", lambda: {})
    app.add_api_route("/readyz", lambda: {})
    app.add_api_route("/v1/visitors", lambda: {}, methods=["POST"])
    app.add_api_route("/v1/events", take_events, methods=["POST"])
    app.add_api_websocket_route("/v1/live", live)
    problems.install(app, lambda _status: None)
    quotas = {"/v1/search": Quota("tenant_searches", "searches", 2, clock=clock)}
    limits = RateLimits(TIGHT, (API_KEY, None), (WRITE_KEY, None), clock, quotas)
    app.add_middleware(RateMiddleware, limits=limits, on_refused=refusals.append)
    return Client(app)


def count(client: Client, path: str = "/v1/popular", **options: Any) -> int:
    """How many requests are answered before one is refused."""
    for number in range(200):
        if client.get(path, **options).status_code != 200:
            return number
    return 200


def test_a_token_has_a_burst_and_then_its_rate(client: Client, clock: Clock, refusals: list[str]) -> None:
    assert count(client, params={"token": "a"}) == 10
    answer = client.get("/v1/popular", params={"token": "a"})
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:eddy:problem:too-many-requests"
    assert "this token" in answer.json()["detail"]
    assert refusals == ["token", "token"]
    clock.now += 1
    assert count(client, params={"token": "a"}) == 1
    assert count(client, params={"token": "b"}) == 10


def test_invented_tokens_are_held_by_the_address(client: Client, refusals: list[str]) -> None:
    answers = [client.get("/v1/popular", params={"token": str(number)}) for number in range(40)]
    assert [each.status_code for each in answers].count(200) == 30
    assert set(refusals) == {"address"}


@pytest.mark.parametrize(
    "shown",
    [
        f"Bearer {API_KEY.get_secret_value()}",
        f"bearer  {API_KEY.get_secret_value()} ",
    ],
)
def test_a_back_end_is_held_by_its_key_and_not_by_its_address(client: Client, shown: str) -> None:
    assert count(client, headers={"Authorization": shown}) == 50
    assert count(client) == 30


def test_the_public_write_key_is_held_by_the_address_first(client: Client, refusals: list[str]) -> None:
    basic = b64encode(f"{WRITE_KEY.get_secret_value()}:".encode()).decode()
    assert count(client, headers={"Authorization": f"Basic {basic}"}) == 30
    assert refusals == ["address"]


def test_a_wrong_key_is_no_key(client: Client) -> None:
    assert count(client, headers={"Authorization": "Bearer the key of the shap"}) == 10


def test_visitors_are_not_invented_without_end(client: Client, refusals: list[str]) -> None:
    answers = [client.post("/v1/visitors").status_code for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    assert set(refusals) == {"new_visitors"}


def test_a_token_has_so_many_events_whatever_the_batches(client: Client, refusals: list[str]) -> None:
    answers = [client.post("/v1/events", params={"token": "a"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[-1].headers["retry-after"] == "5"
    back_end = {"Authorization": f"Bearer {API_KEY.get_secret_value()}"}
    assert {client.post("/v1/events", headers=back_end).status_code for _ in range(9)} == {200}


def test_health_is_never_refused(client: Client) -> None:
    count(client)
    assert count(client, "/readyz") == 200


def test_a_handshake_is_refused_as_a_request_is(client: Client) -> None:
    assert client.handshake()[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    count(client)
    start, body = client.handshake()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert (b"Retry-After", b"1") in start["headers"]
    assert b"too-many-requests" in body["body"]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", network("2001:db8::ffff")),
        ("fe80::1%eth0", network("fe80::2")),
        ("no address", "no address"),
    ],
)
def test_an_address_is_counted_as_what_one_customer_gets(host: str, counted: str) -> None:
    assert network(host) == counted
    assert network("2001:db8::1") != network("2001:db8:0:1::1")


@pytest.mark.parametrize(("trusted", "expected"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")])
def test_who_is_asking_is_told_by_trusted_proxies_alone(trusted: str, expected: str) -> None:
    app = FastAPI()

    async def who(request: Request) -> dict[str, str]:
        return {"host": request.client.host if request.client else ""}

    app.add_api_route("/who", who)
    with serve_app(app, bounds=BoundsSettings(trusted_proxies=trusted)) as served:
        answer = served.get("/who", {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    assert answer.json() == {"host": expected}


def test_trusted_proxies_are_addresses() -> None:
    with pytest.raises(ValidationError, match="no address"):
        BoundsSettings(trusted_proxies="*")


def test_a_request_that_is_let_through_costs_little() -> None:
    limits = RateLimits(BoundsSettings(rate_token=1e9, rate_address=1e9), (API_KEY,), (WRITE_KEY,))
    headers = [
        (b"host", b"shop"),
        (b"user-agent", b"x"),
        (b"accept", b"*/*"),
        (b"content-type", b"text/plain"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "headers": headers,
        "query_string": b"token=01JDXYZ.abcdefgh.0123456789abcdef0123456789abcdef0123456789a",
        "client": ("203.0.113.9", 1),
    }
    times = []
    for _ in range(2000):
        began = perf_counter()
        assert limits.check(scope) is None
        times.append(perf_counter() - began)
    assert sorted(times)[len(times) // 2] < 20e-6


def test_all_clients_of_a_tenant_share_its_quota_and_no_other_path_does(
    client: Client, clock: Clock, refusals: list[str]
) -> None:
    for number in range(20):  # a token each, of the back end every second one
        shown = {"Authorization": f"Bearer {API_KEY.get_secret_value()}"} if number % 2 else {}
        params = {} if shown else {"token": f"t{number}"}
        assert client.get("/v1/search", headers=shown, params=params).status_code == 200
    answer = client.get("/v1/search", params={"token": "another"})
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:eddy:problem:quota-exceeded"
    assert "this tenant together may have 2 searches a second" in answer.json()["detail"]
    assert refusals == ["tenant_searches"]
    assert client.get("/v1/popular", params={"token": "another"}).status_code == 200
    clock.now += 1
    assert count(client, "/v1/search", params={"token": "another"}) == 2


def test_a_client_that_is_refused_takes_nothing_of_its_tenants_quota(client: Client) -> None:
    assert count(client, "/v1/search", params={"token": "loud"}) == 10
    for _ in range(5):
        assert client.get("/v1/search", params={"token": "loud"}).json()["type"].endswith("too-many-requests")
    assert count(client, "/v1/search", params={"token": "quiet"}) == 10


def test_without_a_quota_all_is_let_through_and_more_than_a_burst_costs_a_burst() -> None:
    assert all(Quota("l", "events", 0).check(1000) is None for _ in range(100))
    clock = Clock()
    quota = Quota("l", "events", 1, least=100, clock=clock)
    assert quota.check(1_000_000) is None
    refused = quota.check()
    assert refused is not None
    assert (refused.limit, refused.headers) == ("l", {"Retry-After": "1"})
    clock.now += 1
    assert quota.check() is None


def test_a_batch_of_too_many_events_is_counted_as_refused(client: Client, refusals: list[str]) -> None:
    path, token = "/v1/events", {"token": "a"}
    while client.post(path, params=token).status_code == 200:
        pass
    assert refusals == ["events"]
