"""The client of the embedder's words, against a real HTTP server that can be slow or broken."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import ValidationError
from structlog.testing import capture_logs

from schemas.vectors import Layout, Vector, pack
from schemas.words import PATH, TEXT_MAX, WordVectors, decode_request, encode_answer
from services.recommender.search.query_vectors import REST_S, WordVector, WordVectorClient, query_vector
from services.recommender.settings import RecommenderSettings
from tests.support.clock import Clock
from tests.support.machine import free_ports
from tests.support.patience import patiently

LAYOUT = Layout.of(text_width=6, image_width=4)
MODELS = {"text": "t1", "caption": "i1"}


def unit(seed: int, width: int) -> Vector:
    vector = np.random.default_rng(seed).normal(size=width).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def answer(texts: list[str], layout: Layout = LAYOUT, models: dict[str, str] = MODELS) -> WordVectors:
    """Vectors that follow from the length of each text."""
    widths = dict(layout.widths)
    return WordVectors(
        layout.id,
        models,
        [pack(unit(len(text), widths["text"])) for text in texts],
        [pack(unit(len(text) + 1000, widths["image"])) for text in texts],
    )


class Embedder(ThreadingHTTPServer):
    """Stands where an embedder would: what it does next is set by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.status = 200
        self.layout = LAYOUT
        self.models = MODELS
        self.body: bytes | None = None  # instead of an answer
        self.broken = 0  # connections to break before an answer
        self.trickles = False
        self.go = threading.Event()  # answers wait for it
        self.go.set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Embedder

    def do_POST(self) -> None:
        embedder = self.server
        assert self.path == PATH
        texts = decode_request(self.rfile.read(int(self.headers["Content-Length"]))).texts
        embedder.asked += texts
        embedder.go.wait(10)
        if embedder.broken:
            embedder.broken -= 1
            return
        body = embedder.body
        if body is None:
            body = encode_answer(answer(texts, embedder.layout, embedder.models))
        self.send_response(embedder.status)
        self.send_header("Content-Length", str(len(body) + embedder.trickles))
        self.end_headers()
        self.wfile.write(body)
        if embedder.trickles:
            self.rfile.read(1)  # the last byte never comes; until the client is gone

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Client:
    """Words with a clock and counters of the test's own."""

    def __init__(self, url: str | None, timeout_s: float = 10) -> None:
        self.clock = Clock(1000)
        self.registry = CollectorRegistry()
        self.words = WordVectorClient(
            url,
            LAYOUT,
            timeout_s=timeout_s,
            client=httpx.AsyncClient(verify=False, trust_env=False),
            away=Counter("away", "-", registry=self.registry),
            seconds=Histogram("seconds", "-", registry=self.registry),
            clock=self.clock,
        )

    @property
    def away(self) -> float:
        return self.registry.get_sample_value("away_total") or 0.0


@pytest.fixture
def embedder() -> Iterator[Embedder]:
    server = Embedder()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def client(embedder: Embedder) -> AsyncIterator[Client]:
    made = Client(embedder.url)
    yield made
    await made.words.close()


@pytest.fixture
async def hasty(embedder: Embedder) -> AsyncIterator[Client]:
    """One that waits hardly at all."""
    made = Client(embedder.url, timeout_s=0.5)
    yield made
    await made.words.close()


@patiently(10, 0.001)
async def until_asked(embedder: Embedder, count: int) -> None:
    assert len(embedder.asked) >= count


async def test_words_become_the_vectors_of_both_models(client: Client, embedder: Embedder) -> None:
    found = await client.words.vectors("red shoes")
    assert found is not None
    assert found.text == pytest.approx(unit(9, 6), abs=1e-3)
    assert found.caption == pytest.approx(unit(1009, 4), abs=1e-3)
    assert found.text.dtype == found.caption.dtype == np.float32
    assert not found.text.flags.writeable
    assert client.registry.get_sample_value("seconds_count") == 1


async def test_a_text_is_asked_for_once_however_it_is_written(client: Client, embedder: Embedder) -> None:
    first = await client.words.vectors(" red\tshoes ")
    assert await client.words.vectors("RED  Shoes") is first
    assert await client.words.vectors("red shoe") is not first
    assert embedder.asked == ["red shoes", "red shoe"]


async def test_who_asks_at_the_same_time_shares_a_request(client: Client, embedder: Embedder) -> None:
    embedder.go.clear()
    asking = [asyncio.create_task(client.words.vectors(text)) for text in ["red", "Red", "red "] * 5]
    await until_asked(embedder, 1)
    asking.pop().cancel()  # one shopper goes away: the others get theirs
    embedder.go.set()
    found = await asyncio.gather(*asking)
    assert found[0] is not None
    assert all(each is found[0] for each in found)
    assert embedder.asked == ["red"]


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_blank_texts_are_not_asked_for(client: Client, embedder: Embedder, text: str) -> None:
    assert await client.words.vectors(text) is None
    assert (embedder.asked, client.away) == ([], 0)


@pytest.mark.parametrize("url", [None, ""])
async def test_without_an_address_there_are_no_vectors_and_no_complaints(url: str | None) -> None:
    client = Client(url)
    with capture_logs() as logs:
        assert await client.words.vectors("red shoes") is None
    assert (logs, client.away) == ([], 0)
    await client.words.close()


@given(st.text(st.characters(exclude_categories=()), max_size=2 * TEXT_MAX + 10))
def test_whatever_is_typed_the_embedder_takes_it(text: str) -> None:
    taken: list[str] = []

    def embedding(request: httpx.Request) -> httpx.Response:
        taken.extend(decode_request(request.content).texts)
        return httpx.Response(200, content=encode_answer(answer(taken)))

    async def ask() -> None:
        registry = CollectorRegistry()
        words = WordVectorClient(
            "http://embedder",
            LAYOUT,
            timeout_s=10,
            client=httpx.AsyncClient(transport=httpx.MockTransport(embedding)),
            away=Counter("away", "-", registry=registry),
            seconds=Histogram("seconds", "-", registry=registry),
        )
        assert (await words.vectors(text) is None) == (not text.split())
        await words.close()

    asyncio.run(ask())
    assert len(taken) == bool(text.split())


async def test_a_broken_connection_is_tried_once_more(client: Client, embedder: Embedder) -> None:
    embedder.broken = 1
    assert await client.words.vectors("red shoes") is not None
    assert embedder.asked == ["red shoes"] * 2
    embedder.broken = 2
    assert await client.words.vectors("blue shoes") is None
    assert embedder.asked[2:] == ["blue shoes"] * 2


@pytest.mark.parametrize("trickles", [False, True])
async def test_a_slow_embedder_is_not_waited_for(hasty: Client, embedder: Embedder, trickles: bool) -> None:
    assert (known := await hasty.words.vectors("known")) is not None
    embedder.trickles = trickles
    if not trickles:
        embedder.go.clear()
    assert await hasty.words.vectors("red shoes") is None
    # For a while it is left alone; what is known is still known.
    assert await hasty.words.vectors("blue shoes") is None
    assert await hasty.words.vectors("known") is known
    assert embedder.asked == ["known", "red shoes"]
    assert hasty.away == 2
    embedder.go.set()
    embedder.trickles = False
    hasty.clock.now += REST_S
    assert await hasty.words.vectors("blue shoes") is not None
    assert await hasty.words.vectors("red shoes") is not None


async def test_after_the_rest_one_search_tries_and_the_others_go_on(
    client: Client, embedder: Embedder
) -> None:
    embedder.status = 500
    assert await client.words.vectors("first") is None
    embedder.status = 200
    embedder.go.clear()
    client.clock.now += REST_S
    tries = asyncio.create_task(client.words.vectors("second"))
    await until_asked(embedder, 2)
    assert await client.words.vectors("third") is None
    embedder.go.set()
    assert await tries is not None
    assert await client.words.vectors("third") is not None
    assert embedder.asked == ["first", "second", "third"]


@pytest.mark.parametrize(
    "changed",
    [
        {"status": 404},
        {"status": 503},
        {"status": 302},
        {"body": b""},
        {"body": b"\xc1rubbish"},
        {"body": encode_answer(answer([]))},
        {"body": encode_answer(answer(["one", "two"]))},
        {"body": encode_answer(replace(answer(["one"]), text=[b"odd"]))},
        {"body": encode_answer(replace(answer(["one"]), text=[pack(unit(1, 7))]))},
        {"body": encode_answer(replace(answer(["one"]), caption=[]))},
    ],
)
async def test_whatever_else_it_answers_is_as_if_it_were_away(
    client: Client, embedder: Embedder, changed: dict[str, Any]
) -> None:
    vars(embedder).update(changed)
    with capture_logs() as logs:
        assert await client.words.vectors("red shoes") is None
    assert [each["log_level"] for each in logs] == ["warning"]
    assert client.away == 1
    embedder.status, embedder.body = 200, None
    client.clock.now += REST_S
    assert await client.words.vectors("red shoes") is not None


async def test_a_log_line_tells_when_it_goes_and_when_it_is_back(client: Client, embedder: Embedder) -> None:
    [nobody] = free_ports(1)
    gone = Client(f"http://127.0.0.1:{nobody}")
    with capture_logs() as logs:
        for _ in range(3):
            assert await gone.words.vectors("red shoes") is None
            gone.clock.now += REST_S
    assert [(each["log_level"], each["url"]) for each in logs] == [
        ("warning", f"http://127.0.0.1:{nobody}{PATH}")
    ]
    await gone.words.close()
    embedder.status = 503
    with capture_logs() as logs:
        for status in (503, 503, 200, 200):
            embedder.status = status
            await client.words.vectors(f"red shoes {len(embedder.asked)}")
            client.clock.now += REST_S
    assert [each["log_level"] for each in logs] == ["warning", "info"]


async def test_vectors_of_another_layout_are_refused_with_the_settings_name(
    client: Client, embedder: Embedder
) -> None:
    embedder.layout = Layout.of(text_width=6, image_width=8)
    with capture_logs() as logs:
        for _ in range(2):
            assert await client.words.vectors("red shoes") is None
            client.clock.now += REST_S
    assert [each["log_level"] for each in logs] == ["error"]
    assert "EDDY_IMAGE_WIDTH" in logs[0]["reason"]
    assert LAYOUT.id in logs[0]["reason"]
    assert len(embedder.asked) == 2


async def test_a_text_that_it_does_not_take_stops_no_other(client: Client, embedder: Embedder) -> None:
    embedder.status = 422
    assert await client.words.vectors("red shoes") is None
    embedder.status = 200
    assert await client.words.vectors("blue shoes") is not None


async def test_vectors_of_earlier_models_are_forgotten(client: Client, embedder: Embedder) -> None:
    await client.words.vectors("red shoes")
    embedder.models = {"text": "t2", "caption": "i1"}
    await client.words.vectors("blue shoes")
    await client.words.vectors("red shoes")
    await client.words.vectors("blue shoes")
    assert embedder.asked == ["red shoes", "blue shoes", "red shoes"]


async def test_closing_ends_what_is_under_way(embedder: Embedder) -> None:
    client = Client(embedder.url)
    embedder.go.clear()
    asking = asyncio.create_task(client.words.vectors("red shoes"))
    await until_asked(embedder, 1)
    await client.words.close()
    assert await asking is None


@given(
    st.integers(0, 2**32),
    st.dictionaries(st.sampled_from([name for name, _ in LAYOUT.widths]), st.floats(-2, 2)),
)
def test_a_query_of_words_scores_the_weighted_sum_of_cosines(seed: int, weights: dict[str, float]) -> None:
    random = np.random.default_rng(seed)
    product = LAYOUT.normalise(random.normal(size=LAYOUT.width).astype(np.float32))
    words = WordVector(unit(seed, 6), unit(seed + 1, 4))
    query = query_vector(LAYOUT, words)
    assert query.shape == (LAYOUT.width,)
    assert query.dtype == np.float32
    cosines = {
        "text": words.text @ product[LAYOUT.slices["text"]],
        "image": words.caption @ product[LAYOUT.slices["image"]],
        "caption": words.caption @ product[LAYOUT.slices["caption"]],
    }
    expected = sum(weights.get(name, 0.0) * float(cosine) for name, cosine in cosines.items())
    assert float(LAYOUT.apply_weights(query, weights) @ product) == pytest.approx(expected, abs=1e-5)


def test_an_address_that_is_none_stops_the_start() -> None:
    secret = "a secret of the tests"
    with pytest.raises(ValidationError, match="embedder_url"):
        RecommenderSettings.model_validate(
            {"token_secret": secret, "auth": "optional", "embedder_url": "127.0.0.1:8004"}
        )
    assert (
        RecommenderSettings.model_validate(
            {"token_secret": secret, "auth": "optional", "embedder_url": ""}
        ).embedder_url
        == ""
    )
