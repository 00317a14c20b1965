"""A direct route answers as one of FastAPI: its answers, problems and bugs, and no path but its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.web import problems
from services.web.openapi import MsgspecApi
from services.web.problems import Problem
from services.web.routes import DirectRoute


class Teapot(Problem):
    """The one problem of these routes."""

    status = HTTPStatus.IM_A_TEAPOT
    kind = "teapot"


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def routes(route_class: type[APIRoute]) -> APIRouter:
    outer, router = APIRouter(), APIRouter(route_class=route_class)

    @router.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body(), 202, {"X-Path": request.url.path})

    @router.get("/pot")
    async def pot(_request: Request) -> Response:
        raise Teapot("short and stout", headers={"Retry-After": "1"}, fields={"spout": 1})

    @router.get("/bug")
    async def bug(_request: Request) -> Response:
        raise ValueError("ours")

    @router.delete("/things/{thing}")
    async def thing(request: Request) -> Response:
        return Response(request.path_params["thing"])

    outer.include_router(router)
    return outer


class Told(list[int]):
    """The statuses of problems."""


def ask(route_class: type[APIRoute], told: Told, method: str, path: str) -> httpx.Response:
    app = MsgspecApi("test", "", [], lifespan)
    app.include_router(routes(route_class))
    problems.install(app, told.append)

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=b"x" * 9)

    return asyncio.run(answer())


REQUESTS = [
    ("POST", "/echo"),
    ("POST", "/echo?token=a"),
    ("POST", "/echo/"),
    ("GET", "/echo"),
    ("HEAD", "/echo"),
    ("OPTIONS", "/echo"),
    ("GET", "/pot"),
    ("GET", "/bug"),
    ("DELETE", "/things/a"),
    ("DELETE", "/things/{thing}"),
    ("GET", "/nowhere"),
    ("GET", "/openapi.json"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_direct_route_answers_as_one_of_fastapi(method: str, path: str) -> None:
    answers, statuses = [], []
    for route_class in (APIRoute, DirectRoute):
        told = Told()
        answer = ask(route_class, told, method, path)
        answers.append((answer.status_code, dict(answer.headers), answer.content))
        statuses.append(list(told))
    assert answers[0] == answers[1]
    assert statuses[0] == statuses[1]


def test_the_router_is_not_asked_for_a_direct_route(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()

    def refuse(*_arguments: object) -> None:
        raise AssertionError("the router was asked")

    monkeypatch.setattr("fastapi.routing.APIRouter.app", refuse)
    assert ask(DirectRoute, told, "POST", "/echo").status_code == 202
    assert ask(DirectRoute, told, "GET", "/pot").status_code == 418
    assert told == [418]
