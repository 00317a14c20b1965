"""Every error of an HTTP service is a problem document, and none repeats the query."""

from http import HTTPStatus

import httpx
import pytest
from fastapi import FastAPI

from services.web.problems import MEDIA_TYPE, Problem, install


class OutOfTea(Problem):
    """An error of the app's own."""

    status = HTTPStatus.IM_A_TEAPOT
    kind = "out-of-tea"


@pytest.fixture
def statuses() -> list[int]:
    """The statuses that were told to the metrics."""
    return []


@pytest.fixture
def client(statuses: list[int]) -> httpx.AsyncClient:
    app = FastAPI()
    install(app, statuses.append)

    @app.get("/tea")
    async def tea() -> None:
        raise OutOfTea("fill the kettle", headers={"Retry-After": "60"}, fields={"cups": 0})

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("with a secret in it")

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://eddy")


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ("GET /tea", 418, "out-of-tea"),
        ("GET /nowhere", 404, "not-found"),
        ("POST /tea", 405, "method-not-allowed"),
        ("GET /number/one", 422, "invalid-request"),
        ("GET /bug", 500, "internal"),
    ],
)
async def test_an_error_is_a_problem_document(
    client: httpx.AsyncClient, statuses: list[int], asked: str, status: int, kind: str
) -> None:
    method, path = asked.split()
    response = await client.request(method, path + "?token=secret")
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    document = response.json()
    assert (document["type"], document["status"]) == (f"urn:eddy:problem:{kind}", status)
    assert document["title"] == HTTPStatus(status).phrase
    assert document["instance"] == path
    assert "secret" not in response.text
    assert statuses == [status]


async def test_a_problem_brings_its_own_headers_and_fields(client: httpx.AsyncClient) -> None:
    response = await client.get("/tea")
    assert response.headers["retry-after"] == "60"
    assert (response.json()["detail"], response.json()["cups"]) == ("fill the kettle", 0)


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient) -> None:
    assert (await client.post("/tea")).headers["allow"] == "GET"


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    assert "path.number" in (await client.get("/number/one")).json()["detail"]
