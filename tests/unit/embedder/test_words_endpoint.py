"""POST /v1/words over HTTP, with stand-in models: what it answers, and what it says about bad requests."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import pytest

from schemas.vectors import Vector, unpack
from schemas.words import PATH, TEXT_MAX, TEXTS_MAX, decode_answer
from services.embedder.metrics import Metrics
from services.embedder.words_endpoint import BODY_MAX, THREADS, WordsApp, encoder
from services.version import VERSION
from services.web.health import HealthServer
from tests.support.embedding import LAYOUT, StandInPictures, StandInText, one_hot
from tests.support.machine import free_ports
from tests.support.patience import patiently
from tests.support.services import without_tenant


class Asked:
    """An app behind the embedder's health server, and a client of it."""

    def __init__(self, patience_s: float) -> None:
        self.metrics = Metrics()
        self.app = WordsApp(self.metrics, patience_s)
        [self.port] = free_ports(1)
        self.server = HealthServer(
            "embedder",
            "127.0.0.1",
            self.port,
            {"t": self.metrics.registry},
            lambda: "the models",
            apps={PATH: self.app},
        )
        self.server.start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", verify=False, trust_env=False)

    def use(self, text: StandInText) -> None:
        self.app.use(encoder(text, StandInPictures(), LAYOUT))

    def post(self, body: Any) -> httpx.Response:
        return self.http.post(PATH, content=body if isinstance(body, bytes) else json.dumps(body).encode())

    def close(self) -> None:
        self.http.close()
        self.server.stop()


@pytest.fixture
def endpoint() -> Iterator[Asked]:
    made = Asked(patience_s=10)
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Asked]:
    made = Asked(patience_s=0.05)
    yield made
    made.close()


@pytest.fixture
def ready(endpoint: Asked) -> Asked:
    endpoint.use(StandInText())
    return endpoint


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of a problem document that says the same as its status line."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "instance"}
    assert (document["status"], document["title"]) == (status, HTTPStatus(status).phrase)
    assert document["instance"] == PATH
    assert document["type"].startswith("urn:eddy:problem:")
    return str(document["detail"])


def test_texts_get_the_vectors_of_both_models_in_their_order(ready: Asked) -> None:
    answer = ready.post({"texts": ["a", "four", "日本"]})
    assert answer.headers["Content-Type"] == "application/msgpack"
    found = decode_answer(answer.raise_for_status().content)
    assert (found.layout, found.models) == (LAYOUT.id, {"text": "t1", "caption": "i1"})
    assert np.array_equal([unpack(each) for each in found.text], [one_hot(n, 6) for n in (1, 4, 2)])
    assert np.array_equal([unpack(each) for each in found.caption], [one_hot(n, 4) for n in (1, 4, 2)])


def test_what_is_allowed_most_is_answered_however_it_is_written(ready: Asked) -> None:
    longest = ["\U0001f45f" * TEXT_MAX] * TEXTS_MAX
    body = json.dumps({"texts": longest}).encode()  # all of it as \uXXXX
    assert BODY_MAX / 2 < len(body) < BODY_MAX
    assert len(decode_answer(ready.post(body).raise_for_status().content).text) == TEXTS_MAX


def test_requests_are_counted_and_timed(ready: Asked) -> None:
    ready.post({"texts": ["one", "two"]}).raise_for_status()
    ready.post({"texts": []})
    told = without_tenant(ready.http.get("/metrics").text)
    assert "eddy_embedder_words_total 2.0" in told
    assert "eddy_embedder_words_seconds_count 1.0" in told


def test_before_the_models_are_there_it_says_when_to_come_again(endpoint: Asked) -> None:
    answer = endpoint.post({"texts": ["red shoes"]})
    assert "models" in problem(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    endpoint.use(StandInText())
    assert endpoint.post({"texts": ["red shoes"]}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "texts"),
        (b"{", 400, "texts"),
        (b"\xff\xfe", 400, "texts"),
        (rb'{"texts": ["\ud800"]}', 400, "texts"),
        ([], 422, "object"),
        ({}, 422, "texts"),
        ({"texts": "red"}, 422, "texts"),
        ({"texts": []}, 422, "length >= 1"),
        ({"texts": ["a"] * (TEXTS_MAX + 1)}, 422, "length <= 64"),
        ({"texts": ["fine", 7]}, 422, "$.texts[1]"),
        ({"texts": ["fine", None]}, 422, "$.texts[1]"),
        ({"texts": ["fine", "a" * (TEXT_MAX + 1)]}, 422, "$.texts[1]"),
        ({"texts": [" \n"]}, 422, "$.texts[0]"),
        (b" " * (BODY_MAX + 1), 413, "fewer texts"),
        (b" " * (4 * BODY_MAX), 413, "fewer texts"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(ready: Asked, body: Any, status: int, said: str) -> None:
    assert said in problem(ready.post(body), status)
    assert ready.post({"texts": ["red shoes"]}).status_code == 200


def test_only_post_is_answered(ready: Asked) -> None:
    answer = ready.http.get(PATH)
    assert "POST" in problem(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_a_body_in_chunks_is_refused(ready: Asked) -> None:
    answer = ready.http.post(PATH, content=iter([b'{"texts": ', b'["red"]}']))
    assert "Content-Length" in problem(answer, 400)


@pytest.mark.parametrize("length", ["12", "-1", "many", "²"])
def test_a_body_that_is_not_as_long_as_said_is_refused(ready: Asked, length: str) -> None:
    with socket.create_connection(("127.0.0.1", ready.port), timeout=5) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{{}}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: connection.recv(4096), b"")).startswith(b"HTTP/1.0 400 ")


def test_an_error_in_a_model_is_ours_and_the_next_is_answered(endpoint: Asked) -> None:
    class Broken(StandInText):
        def encode(self, texts: Sequence[str]) -> Vector:
            if "broken" in texts:
                raise RuntimeError("out of memory at 0x7f")
            return super().encode(texts)

    endpoint.use(Broken())
    assert "0x7f" not in problem(endpoint.post({"texts": ["broken"]}), 500)
    assert endpoint.post({"texts": ["red shoes"]}).status_code == 200


def test_who_would_wait_too_long_is_told_to_come_again(hasty: Asked) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    class Slow(StandInText):
        def encode(self, texts: Sequence[str]) -> Vector:
            if "slow" in texts:
                begun.release()
                assert go.wait(10)
            return super().encode(texts)

    hasty.use(Slow())
    for _ in range(THREADS):
        assert "too many" in problem(hasty.post({"texts": ["slow"]}), 503)
        assert begun.acquire(timeout=5)
    answer = hasty.post({"texts": ["red shoes"]})
    assert "too many" in problem(answer, 503)
    assert answer.headers["Retry-After"]
    go.set()

    @patiently(10, 0.01)
    def check_answered() -> None:
        assert hasty.post({"texts": ["red shoes"]}).status_code == 200

    check_answered()


def test_other_paths_are_as_they_were(ready: Asked) -> None:
    assert ready.http.get("/healthz").json() == {"status": "ok", "version": VERSION}
    assert ready.http.get("/readyz").status_code == 503
    assert PATH in ready.http.get("/nothing").json()["detail"]
