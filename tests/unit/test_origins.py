"""A page of another site is refused, and can read why."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from services.web.origins import AllowedOrigins

SHOP = "https://shop.example"


def app_of(*origins: str) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/events")
    async def take() -> dict[str, bool]:
        return {"taken": True}

    app.add_middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["POST"], allow_headers=["X-Eddy-Token"]
    )
    app.add_middleware(AllowedOrigins, origins=origins, on_problem=lambda _status: None)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_of(SHOP))
    async with httpx.AsyncClient(transport=transport, base_url="https://eddy.example") as client:
        yield client


@pytest.mark.parametrize("origin", [None, SHOP, "HTTPS://shop.example", "https://eddy.example"])
async def test_the_shops_pages_and_programs_may_call(client: httpx.AsyncClient, origin: str | None) -> None:
    answer = await client.post("/v1/events", headers={"Origin": origin} if origin else {})
    assert answer.json() == {"taken": True}


@pytest.mark.parametrize(
    "origin",
    [
        "https://other.example",
        "null",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.other",
    ],
)
async def test_others_are_refused_and_can_read_why(client: httpx.AsyncClient, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "x-eddy-token"}
    preflight = await client.options("/v1/events", headers=asked | wanted)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "x-eddy-token"
    answer = await client.post("/v1/events", headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert (
        answer.headers["access-control-allow-origin"]
        == preflight.headers["access-control-allow-origin"]
        == origin
    )
    assert answer.headers["vary"] == "Origin"
    assert origin in answer.json()["detail"]
    assert "EDDY_ALLOWED_ORIGINS" in answer.json()["detail"]


async def test_a_star_lets_every_page_in() -> None:
    transport = httpx.ASGITransport(app_of("*"))
    async with httpx.AsyncClient(transport=transport, base_url="https://eddy.example") as client:
        answer = await client.post("/v1/events", headers={"Origin": "https://other.example"})
    assert answer.json() == {"taken": True}
