"""/docs of both services needs no internet: its page names no other host, and what it names is there."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.recommender.app import create_app as create_recommender
from services.recommender.settings import RecommenderSettings

SECRET = SecretStr("a secret of the tests")


@pytest.fixture(params=["ingest", "recommender"])
async def service(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = (
        create_ingest(IngestSettings(token_secret=SECRET, api_key=SECRET))
        if request.param == "ingest"
        else create_recommender(RecommenderSettings(token_secret=SECRET, api_key=SECRET))
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.example") as client:
        yield client


async def test_the_page_names_no_other_host_and_all_that_it_names_answers(service: httpx.AsyncClient) -> None:
    page = await service.get("/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text)
    named = re.findall(r"""(?:src|href)="([^"]+)"|\burl: '([^']+)'""", page.text)
    addresses = [first or second for first, second in named]
    assert len(addresses) == 4, "style, icon, script, document"
    for address in addresses:
        answer = await service.get(str(page.url.join(address)))
        assert answer.status_code == 200, address
        assert answer.content


async def test_behind_a_proxys_path_all_is_asked_for_below_it(service: httpx.AsyncClient) -> None:
    page = await service.get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    below = httpx.URL("https://api.example/eddy/docs")
    assert {str(below.join(each)).partition("/docs/files/")[0] for each in named} == {
        "https://api.example/eddy"
    }
