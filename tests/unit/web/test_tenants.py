"""Apps of several tenants behind one server: whose a request is; no way leads from one to another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.types import Message
from starlette.websockets import WebSocket

from services.web.health import health_routes
from services.web.tenants import Site, TenantsApp


class Shop:
    """A tenant's app that tells its own name, and what it saw of a request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing: str | None = None
        self.lives: list[str] = []
        self.registry = CollectorRegistry()
        self.asked = Counter("asked_total", "Requests", registry=self.registry)

        @asynccontextmanager
        async def live(_app: FastAPI) -> AsyncIterator[None]:
            self.lives.append("began")
            yield
            self.lives.append("ended")

        self.app = FastAPI(lifespan=live)
        self.app.include_router(health_routes(lambda: self.missing, {name: self.registry}))
        self.app.state.waiting_for = lambda: self.missing
        self.app.state.registry = self.registry

        @self.app.get("/v1/{rest:path}")
        async def tell(request: Request, rest: str) -> dict[str, str]:
            self.asked.inc()
            return {"shop": name, "path": rest, "base": request.base_url.path}

        @self.app.websocket("/v1/live")
        async def push(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_text(name)
            await socket.close()

    def site(self, *hosts: str, path: str = "") -> Site:
        return Site(self.name, self.app, frozenset(hosts), path)


@pytest.fixture
def shops() -> tuple[Shop, Shop]:
    return Shop("a"), Shop("b")


@pytest.fixture
def app(shops: tuple[Shop, Shop]) -> TenantsApp:
    first, second = shops
    return TenantsApp(
        [first.site("a.example.com", path="/a"), second.site("b.example.com", "shop.b.example", path="/b")]
    )


def get(app: TenantsApp, path: str, host: str = "10.0.0.1:8002") -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get(path, headers={"Host": host})

    return asyncio.run(ask())


def shake_hands(app: TenantsApp, path: str) -> list[Message]:
    """What is said to a browser that opens a socket."""
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    return said


@pytest.mark.parametrize(
    ("host", "path", "shop"),
    [
        ("a.example.com", "/v1/popular", "a"),
        ("A.Example.COM:443", "/v1/popular", "a"),
        ("shop.b.example", "/v1/popular", "b"),
        ("10.0.0.1:8002", "/a/v1/popular", "a"),
        ("[::1]:8002", "/b/v1/popular", "b"),
    ],
)
def test_host_or_path_say_whose_a_request_is(app: TenantsApp, host: str, path: str, shop: str) -> None:
    answer = get(app, path, host)
    base = "/" if path.startswith("/v1") else f"/{shop}/"
    assert answer.json() == {"shop": shop, "path": "popular", "base": base}


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("a.example.com", "/b/v1/popular"),  # a tenant's host never leads to another
        ("a.example.com.evil.example", "/v1/popular"),
        ("nobody.example", "/v1/popular"),
        ("nobody.example", "/A/v1/popular"),
        ("nobody.example", "/ab/v1/popular"),
        ("nobody.example", "//a/v1/popular"),
        ("nobody.example", "/"),
        ("nobody.example", "/docs"),
    ],
)
def test_all_else_leads_to_nobody(app: TenantsApp, shops: tuple[Shop, Shop], host: str, path: str) -> None:
    answer = get(app, path, host)
    assert answer.status_code == 404
    assert all(shop.registry.get_sample_value("asked_total") == 0 for shop in shops)
    if host == "nobody.example":
        assert answer.json()["type"] == "urn:eddy:problem:unknown-tenant"


@given(st.sampled_from(["a.example.com", "b.example.com", "x", ""]), st.text("ab/.%v1", max_size=8))
def test_whatever_is_asked_a_host_of_one_tenant_never_reaches_another(host: str, path: str) -> None:
    shops = Shop("a"), Shop("b")
    front = TenantsApp([each.site(f"{each.name}.example.com", path=f"/{each.name}") for each in shops])
    said: list[Message] = []

    async def ask() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            said.append(message)

        scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": f"/{path}", "raw_path": b"", "query_string": b"",
            "headers": [(b"host", host.encode())], "root_path": "", "scheme": "http", "http_version": "1.1",
            "extensions": {},
        }  # fmt: skip
        await front(scope, receive, send)

    asyncio.run(ask())
    asked = {each.name for each in shops if each.registry.get_sample_value("asked_total")}
    allowed = host[:1] if host.endswith("example.com") else path[:1]
    assert asked <= {allowed}


def test_metrics_of_a_tenant_are_its_own_and_the_processs_tell_all(app: TenantsApp) -> None:
    get(app, "/a/v1/popular")
    get(app, "/v1/popular", "nobody.example")
    for host, path in (("a.example.com", "/metrics"), ("x", "/a/metrics")):
        told = get(app, path, host).text
        assert 'asked_total{tenant="a"} 1.0' in told
        assert 'tenant="b"' not in told
        assert "eddy_tenants" not in told
    told = get(app, "/metrics").text
    for sample in ('asked_total{tenant="a"} 1.0', 'asked_total{tenant="b"} 0.0'):
        assert sample in told
    assert 'eddy_tenants_refused_total{limit="unknown",tenant="~"} 1.0' in told
    assert told.count("# TYPE asked_total counter") == 1


def test_a_tenant_that_is_not_ready_holds_up_no_other(app: TenantsApp, shops: tuple[Shop, Shop]) -> None:
    shops[1].missing = "the topic events"
    assert get(app, "/readyz", "a.example.com").status_code == 200
    assert [each["type"] for each in shake_hands(app, "/a/v1/live")][:2] == [
        "websocket.accept",
        "websocket.send",
    ]
    answer = get(app, "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "starting", "waiting_for": "b: the topic events", "tenants": 2}
    assert get(app, "/b/readyz").status_code == 503

    said = shake_hands(app, "/b/v1/live")
    assert said[0]["status"] == 503
    assert (b"Retry-After", b"1") in said[0]["headers"]
    assert b"the topic events" in said[1]["body"]


def test_all_apps_begin_and_end_with_the_process(app: TenantsApp, shops: tuple[Shop, Shop]) -> None:
    async def live() -> None:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        said: asyncio.Queue[Message] = asyncio.Queue()
        running = asyncio.create_task(app({"type": "lifespan"}, heard.get, said.put))
        heard.put_nowait({"type": "lifespan.startup"})
        assert (await said.get())["type"] == "lifespan.startup.complete"
        assert [shop.lives for shop in shops] == [["began"], ["began"]]
        heard.put_nowait({"type": "lifespan.shutdown"})
        assert (await said.get())["type"] == "lifespan.shutdown.complete"
        await running

    asyncio.run(live())
    assert [shop.lives for shop in shops] == [["began", "ended"], ["began", "ended"]]
