"""The language model's client against a real server on this machine, good and bad."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from services.recommender.search.language_model import (
    Answer,
    LanguageModel,
    LanguageModelFailed,
    ground,
    schema,
)
from services.recommender.search.parser import parse
from services.recommender.search.query import Inferred
from services.recommender.search.search import FallbackInterpreter
from tests.support.clock import Clock
from tests.support.patience import wait_until
from tests.support.search.query_set import vocabulary

PATIENCE_S: Final = 30.0  # a busy machine is no reason to give an answer up
KEY: Final = "sk-test"
NOTHING: Final[dict[str, Any]] = {
    "description": "", "weights": dict.fromkeys(("text", "image", "brand", "popularity", "price", "session")),
    "price_min": None, "price_max": None, "price_near": None, "currency": None, "categories": [],
    "brands": [], "types": [],
    "tags": [], "not_tags": [], "not_brands": [], "not_categories": [], "not_types": [], "unknown": [],
    "corrections": [],
}  # fmt: skip


def completion(content: str | None, **message: object) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": content, **message},
    }
    return json.dumps({"id": "c1", "object": "chat.completion", "choices": [choice]}).encode()


@dataclass
class Endpoint:
    """A server that speaks the protocol; what it answers is set by the test."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    hangs: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def answers(self, **fields: object) -> None:
        """With these parameters, and none else."""
        self.body = completion(json.dumps({**NOTHING, **fields}))

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Response:
            self.asked.append(await request.json())
            self.keys.append(request.headers.get("authorization"))
            if self.hangs:
                await asyncio.sleep(3_600)  # until the client has gone and the server stops
            return Response(self.body, self.status, media_type="application/json")

        return app


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    config = uvicorn.Config(endpoint.app(), port=0, ws="none", log_config=None, timeout_graceful_shutdown=0)
    serving = uvicorn.Server(config)
    thread = threading.Thread(target=serving.run)
    thread.start()
    wait_until(lambda: serving.started, every_s=0.01)
    endpoint.url = f"http://127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}/v1"
    yield endpoint
    serving.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def endpoint(server: Endpoint) -> Endpoint:
    server.status, server.body, server.hangs = 200, b"", False
    server.asked.clear()
    server.keys.clear()
    return server


@pytest.fixture
async def model(endpoint: Endpoint) -> AsyncIterator[LanguageModel]:
    async with httpx.AsyncClient(verify=False) as client:
        yield LanguageModel(
            url=endpoint.url, key=KEY, model="some-model", timeout_s=PATIENCE_S, client=client
        )


async def test_a_good_answer_becomes_parameters(endpoint: Endpoint, model: LanguageModel) -> None:
    endpoint.answers(
        description="striped",
        weights={**NOTHING["weights"], "image": 1.0},
        price_max=90,
        currency="usd",
        categories=["Men"],
        types=["shirt"],
        tags=["striped"],
        corrections=[{"typed": "stiped", "meant": "striped"}],
    )
    assert await model.infer("a mens stiped shirt under $90", vocabulary("demo")) == Inferred(
        description="striped",
        weights={"image": 1.0},
        price_max=90.0,
        currency="USD",
        categories=("Men",),
        types=("shirt",),
        tags=("striped",),
        corrections={"stiped": "striped"},
    )


async def test_the_endpoint_is_asked_as_its_protocol_says(endpoint: Endpoint, model: LanguageModel) -> None:
    endpoint.answers()
    await model.infer("shoes \ud800", vocabulary("demo"))  # half a character, as a browser may send
    (asked,) = endpoint.asked
    assert endpoint.keys == [f"Bearer {KEY}"]
    assert asked["model"] == "some-model"
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert asked["messages"][1]["content"] == "shoes ?"
    assert asked["response_format"]["json_schema"]["strict"] is True
    for name in ("Birk & Loft", "Women/Shoes", "sleeping bag", "pinstriped"):
        assert name in asked["messages"][0]["content"]


async def test_names_that_the_catalogue_lacks_are_dropped(endpoint: Endpoint, model: LanguageModel) -> None:
    endpoint.answers(
        brands=["Zara", "ilse"], types=["Shirts", "spaceship"], categories=["Men/Shoes", "Pets"],
        tags=["shiny", "Red"],
        not_tags=["leather"], not_types=["boots"], not_categories=["Cars"],
    )  # fmt: skip
    assert await model.infer("…", vocabulary("demo")) == Inferred(
        brands=("Ilse",), types=("shirt",), categories=("Men/Shoes",), tags=("red",), not_types=("boots",),
        unknown=("leather",),
    )  # fmt: skip


async def test_bounds_the_wrong_way_round_are_turned(endpoint: Endpoint, model: LanguageModel) -> None:
    endpoint.answers(
        price_min=50, price_max=20, currency="dollars", weights={**NOTHING["weights"], "price": -7}
    )
    told = await model.infer("…", vocabulary("demo"))
    assert told == Inferred(price_min=20.0, price_max=50.0, weights={"price": -1.0})


BAD: Final[dict[str, bytes]] = {
    "no JSON": b"<html>",
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "no choices": b'{"choices": []}',
    "another protocol": b'{"answer": "shoes"}',
    "too deep": b'{"x":' + b"[" * 100_000,
    "a refusal": completion(None, refusal="I cannot help with that"),
    "prose": completion("Sure! Here are your parameters."),
    "a field missing": completion('{"description": "shoes"}'),
    "a field too many": completion(json.dumps({**NOTHING, "colour": "red"})),
    "a wrong type": completion(json.dumps({**NOTHING, "brands": "Ilse"})),
    "a weight that is none": completion(json.dumps({**NOTHING, "weights": {"love": 1}})),
    "a price below zero": completion(json.dumps({**NOTHING, "price_min": -5})),
    "a price without end": completion(
        json.dumps({**NOTHING, "price_max": "∞"}).replace('"\\u221e"', "1e999")
    ),
    "not a number": completion(json.dumps({**NOTHING, "price_max": float("nan")})),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_garbage_fails_in_one_way(endpoint: Endpoint, model: LanguageModel, body: bytes) -> None:
    endpoint.body = body
    with pytest.raises(LanguageModelFailed):
        await model.infer("shoes", vocabulary("demo"))


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 302])
async def test_a_refused_request_fails_with_its_status(
    endpoint: Endpoint, model: LanguageModel, status: int
) -> None:
    endpoint.answers()
    endpoint.status = status
    with pytest.raises(LanguageModelFailed, match=f"HTTP {status}"):
        await model.infer("shoes", vocabulary("demo"))


async def test_an_answer_that_takes_too_long_is_not_waited_for(endpoint: Endpoint) -> None:
    endpoint.hangs = True
    async with httpx.AsyncClient(verify=False) as client:
        model = LanguageModel(url=endpoint.url, key=KEY, model="some-model", timeout_s=0.3, client=client)
        with pytest.raises(LanguageModelFailed, match=r"within 0\.3 s"):
            await model.infer("shoes", vocabulary("demo"))


async def test_nobody_listening_fails_in_the_same_way(unused_tcp_port: int) -> None:
    async with httpx.AsyncClient(verify=False) as client:
        away = LanguageModel(
            url=f"http://127.0.0.1:{unused_tcp_port}/v1", key=None, model="m", timeout_s=2, client=client
        )
        with pytest.raises(LanguageModelFailed, match="ConnectError") as failure:
            await away.infer("shoes", vocabulary("demo"))
    assert KEY not in str(failure.value)


def test_the_schema_is_one_that_strict_output_takes() -> None:
    told = schema()
    assert told["type"] == "object"
    for part in (told, *told["$defs"].values()):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])
    assert {each.name for each in msgspec.structs.fields(Answer)} == {
        each.name for each in msgspec.structs.fields(Inferred)
    }


@pytest.mark.parametrize("query", ["mens shoes by ilse not black", "no leather boots under 50"])
def test_what_the_parser_says_is_grounded_already(query: str) -> None:
    told = parse(query, vocabulary("demo"))
    assert ground(told, vocabulary("demo")) == told


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def understanding(model: LanguageModel, clock: Clock, failures: list[str]) -> FallbackInterpreter:
    return FallbackInterpreter(
        vocabulary=lambda: vocabulary("demo"),
        clock=clock,
        model=model,
        failed=failures.append,
        failures_max=2,
    )


async def test_without_a_model_the_parser_understands(clock: Clock) -> None:
    alone = FallbackInterpreter(vocabulary=lambda: vocabulary("demo"), clock=clock)
    assert await alone.understand("shirt") == (Inferred(types=("shirt",)), "parser")


async def test_the_model_is_asked_once_for_the_same_words(
    endpoint: Endpoint, understanding: FallbackInterpreter, clock: Clock
) -> None:
    endpoint.answers(types=["lamp"])
    assert await understanding.understand("something bright") == (Inferred(types=("lamp",)), "model")
    assert await understanding.understand(" something  bright ") == (Inferred(types=("lamp",)), "model")
    assert len(endpoint.asked) == 1
    clock.now += 3_601
    await understanding.understand("something bright")
    assert len(endpoint.asked) == 2


async def test_no_words_are_no_question(endpoint: Endpoint, understanding: FallbackInterpreter) -> None:
    assert await understanding.understand("  ") == (Inferred(), "parser")
    assert endpoint.asked == []


async def test_a_remembered_answer_is_held_against_the_catalogue_of_now(
    endpoint: Endpoint, model: LanguageModel, clock: Clock
) -> None:
    endpoint.answers(types=["lamp"])
    shops = iter(["demo", "demo", "hardware", "hardware"])
    moving = FallbackInterpreter(vocabulary=lambda: vocabulary(next(shops)), clock=clock, model=model)
    assert (await moving.understand("something bright"))[0].types == ("lamp",)
    assert (await moving.understand("something bright"))[0].types == ()


async def test_the_parser_steps_in_and_a_failing_model_is_left_alone_for_a_while(
    endpoint: Endpoint, understanding: FallbackInterpreter, clock: Clock, failures: list[str]
) -> None:
    endpoint.status = 500
    for query in ("shirt", "lamp", "rug"):
        assert (await understanding.understand(query))[1] == "parser"
    assert len(endpoint.asked) == 2  # not for the third
    assert failures == ["HTTP 500", "HTTP 500"]
    clock.now += 31
    assert (await understanding.understand("shirt"))[1] == "parser"  # tried once more
    assert (await understanding.understand("shirt"))[1] == "parser"
    assert len(endpoint.asked) == 3
    clock.now += 31
    endpoint.status = 200
    endpoint.answers(types=["rug"])
    assert (await understanding.understand("shirt"))[1] == "model"
    assert (await understanding.understand("mug"))[1] == "model"
    assert len(endpoint.asked) == 5


async def test_one_search_alone_tries_a_model_that_had_failed(
    endpoint: Endpoint, clock: Clock, failures: list[str]
) -> None:
    async with httpx.AsyncClient(verify=False) as client:
        understanding = FallbackInterpreter(
            vocabulary=lambda: vocabulary("demo"),
            clock=clock,
            model=LanguageModel(url=endpoint.url, key=KEY, model="m", timeout_s=0.3, client=client),
            failed=failures.append,
            failures_max=2,
        )
        endpoint.status = 500
        await asyncio.gather(understanding.understand("shirt"), understanding.understand("lamp"))
        clock.now += 31
        endpoint.hangs = True
        told = await asyncio.gather(*(understanding.understand(f"rug {number}") for number in range(5)))
    assert {by for _, by in told} == {"parser"}
    assert len(endpoint.asked) == 3
