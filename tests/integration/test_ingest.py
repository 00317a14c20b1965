"""The ingest service as a real process on a real broker: what got a 202 is on the topic, whatever happens."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Message
from ulid import ULID

from infra.stack.broker import ROOT, Broker
from schemas import deadletters, events, products
from schemas.events import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from schemas.products import MAX_BATCH_PRODUCTS
from schemas.times import EARLIEST_MS
from schemas.topics import EVENTS, EVENTS_DLQ, PRODUCTS, Topic
from services.clock import now_ms
from services.kafka.admin import create
from services.settings import ServiceSettings
from tests.support.kafka import QUICKLY_BACK, create_topics, limit_size, read_topic
from tests.support.machine import free_ports
from tests.support.patience import patiently
from tests.support.services import KEY, PAGE, RunningService, run_service

NOBODY = "http://127.0.0.1:9"

Json = dict[str, Any]


def serving(
    settings: ServiceSettings, log: Path, *, ready: bool = True
) -> AbstractContextManager[RunningService]:
    """An ingest process on these brokers and topics; killed at the end where it still runs."""
    return run_service("ingest", settings, log, until="/readyz" if ready else "/healthz")


def post(to: RunningService, sent: list[Json], **options: Any) -> httpx.Response:
    return to.http.post("/v1/events", json={"events": sent}, **options)


@pytest.fixture(scope="module")
def topics(broker: Broker) -> ServiceSettings:
    """One set of topics for the tests that look only at visitors of their own."""
    return create_topics(broker)


@pytest.fixture(scope="module")
def ingest(topics: ServiceSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with serving(topics, tmp_path_factory.mktemp("ingest") / "log") as service:
        yield service


@pytest.fixture
def visitor() -> str:
    """A visitor of this test alone."""
    return str(ULID())


def view(visitor_id: str, **fields: object) -> Json:
    return {
        "event_id": str(ULID()),
        "type": "view_item",
        "visitor_id": visitor_id,
        "occurred_at": int(now_ms()),
        "product_id": "p1",
        **fields,
    }


def boot(product_id: str, **fields: object) -> Json:
    return {
        "product_id": product_id,
        "name": "Boot",
        "price": 89.5,
        "currency": "EUR",
        "availability": "in_stock",
        "updated_at": int(now_ms()),
        **fields,
    }


def of_key(settings: ServiceSettings, topic: Topic, key: str) -> list[Message]:
    return [message for message in read_topic(settings, topic) if message.key() == key.encode()]


def events_of(settings: ServiceSettings, visitor_id: str) -> list[events.Event]:
    return [events.decode(message.value() or b"") for message in of_key(settings, EVENTS, visitor_id)]


def dead_letters(settings: ServiceSettings, holding: str) -> list[tuple[bytes, dict[str, str]]]:
    """The dead letters that contain a text, with their headers."""
    return [
        (message.value() or b"", {name: value.decode() for name, value in headers_of(message).items()})
        for message in read_topic(settings, EVENTS_DLQ)
        if holding.encode() in (message.value() or b"")
    ]


def headers_of(message: Message) -> dict[str, bytes]:
    return dict(cast("list[tuple[str, bytes]]", message.headers() or []))


def problem(response: httpx.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: Json = response.json()
    assert document["status"] == status
    assert document["detail"]
    return document


# Visitors


def test_a_page_gets_a_visitor_and_sends_its_events_with_the_token(
    ingest: RunningService, topics: ServiceSettings
) -> None:
    given = ingest.http.post("/v1/visitors", headers={"Origin": PAGE})
    assert given.headers["access-control-allow-origin"] == PAGE
    assert given.headers["cache-control"] == "no-store"
    visitor = given.json()
    assert visitor["expires_at"] > now_ms()
    answer = ingest.http.post(
        f"/v1/events?token={visitor['token']}",
        content=json.dumps({"events": [view(visitor["visitor_id"])]}),
        headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": PAGE},
    )
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert len(events_of(topics, visitor["visitor_id"])) == 1


def test_a_known_visitor_gets_a_fresh_token(ingest: RunningService) -> None:
    first = ingest.http.post("/v1/visitors").json()
    again = ingest.http.post("/v1/visitors", json={"token": first["token"]}).json()
    assert again["visitor_id"] == first["visitor_id"]
    problem(ingest.http.post("/v1/visitors", json={"token": first["token"] + "x"}), 401)


def test_only_the_back_end_gets_a_token_for_a_visitor_that_it_names(
    ingest: RunningService, visitor: str
) -> None:
    wanted = {"visitor_id": visitor}
    problem(ingest.http.post("/v1/visitors", json=wanted), 401)
    given = ingest.http.post("/v1/visitors", json=wanted, headers={"Authorization": f"Bearer {KEY}"})
    assert given.json()["visitor_id"] == visitor


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"visitor_id": "not a name"}', b'{"token": "a", "visitor_id": "b"}']
)
def test_an_unreadable_wish_is_a_problem(ingest: RunningService, body: bytes) -> None:
    problem(ingest.http.post("/v1/visitors", content=body), 400)


# Events


def test_an_accepted_event_is_on_the_topic_once_with_its_key_and_times(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    long_ago = view(visitor, occurred_at=EARLIEST_MS)
    ahead = view(visitor, occurred_at=int(now_ms()) + 3_600_000)
    before = int(now_ms())
    assert post(ingest, [long_ago, ahead]).json() == {"accepted": 2, "rejected": []}
    found = {events.decode(each.value() or b"").event_id: each for each in of_key(topics, EVENTS, visitor)}
    assert set(found) == {long_ago["event_id"], ahead["event_id"]}
    for message in found.values():
        event = events.decode(message.value() or b"")
        assert event.received_at is not None
        assert before <= event.received_at <= now_ms()
        assert headers_of(message) == {"accepted_at": str(event.received_at).encode()}
        assert abs(message.timestamp()[1] - event.received_at) < 5_000
    assert events.decode(found[long_ago["event_id"]].value() or b"").occurred_at == EARLIEST_MS
    assert events.decode(found[ahead["event_id"]].value() or b"").occurred_at <= now_ms()


def test_refused_events_go_to_the_dead_letters_and_take_none_with_them(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    wrong_type = view(visitor, type="browse")
    huge = view(visitor, query="x" * events.MAX_EVENT_BYTES)
    no_query = view(visitor, type="search")
    answer = post(ingest, [wrong_type, view(visitor), huge, no_query])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    reasons = {each["index"]: each["reason"] for each in answer.json()["rejected"]}
    assert set(reasons) == {0, 2, 3}
    assert "$.type" in reasons[0]
    letters = dead_letters(topics, visitor)
    (first, _), (cut, told), (last, _) = letters
    assert [json.loads(first), json.loads(last)] == [wrong_type, no_query]
    # A letter has the first of what is too large, and says what the whole was.
    whole = json.dumps(huge, separators=(",", ":")).encode()
    assert cut == whole[: deadletters.RAW_MAX]
    assert int(told[deadletters.SIZE]) == len(whole)
    assert told[deadletters.SHA256] == sha256(whole).hexdigest()
    assert [headers[deadletters.REASON] for _, headers in letters] == [*reasons.values()]
    assert [headers[deadletters.STAGE] for _, headers in letters] == ["validate", "size", "validate"]
    for _, headers in letters:
        assert headers[deadletters.SERVICE] == "ingest"
        assert headers[deadletters.SOURCE] == "/v1/events"
        assert abs(int(headers[deadletters.FAILED_AT]) - now_ms()) < 60_000


def test_a_batch_without_an_acceptable_event_is_422_with_the_same_fields(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    document = problem(post(ingest, [view(visitor, type="browse")]), 422)
    assert document["accepted"] == 0
    assert document["rejected"][0]["index"] == 0
    assert len(dead_letters(topics, visitor)) == 1
    assert problem(post(ingest, []), 422)["rejected"] == []


def test_a_body_of_garbage_is_400_and_kept(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    garbage = b'{"events": [' + visitor.encode() + b"\xff"
    problem(ingest.http.post("/v1/events", content=garbage), 400)
    [(raw, headers)] = dead_letters(topics, visitor)
    assert raw == garbage
    assert headers[deadletters.STAGE] == "body"


def test_a_visitor_cannot_speak_for_another(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    mine = ingest.http.post("/v1/visitors").json()
    sent = [view(mine["visitor_id"]), view(visitor)]
    answer = post(ingest, sent, params={"token": mine["token"]})
    assert answer.json()["accepted"] == 1
    assert "another visitor" in answer.json()["rejected"][0]["reason"]
    assert events_of(topics, visitor) == []
    problem(post(ingest, sent[1:], params={"token": mine["token"]}), 422)


def test_wrong_credentials_are_401_and_leave_nothing(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    response = post(ingest, [view(visitor)], params={"token": f"{visitor}.abc.def"})
    problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    problem(post(ingest, [view(visitor)], headers={"Authorization": "Bearer wrong"}), 401)
    assert events_of(topics, visitor) == []
    assert post(ingest, [view(visitor)], headers={"Authorization": f"Bearer {KEY}"}).status_code == 202


def test_over_the_limits_is_413_and_leaves_nothing(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    one = json.dumps(view(visitor))
    many = '{"events": [' + ",".join([one] * (MAX_BATCH_BYTES // len(one) + 1)) + "]}"
    assert str(MAX_BATCH_BYTES) in problem(ingest.http.post("/v1/events", content=many), 413)["detail"]
    undeclared = (many[start : start + 65_536].encode() for start in range(0, len(many), 65_536))
    assert str(MAX_BATCH_BYTES) in problem(ingest.http.post("/v1/events", content=undeclared), 413)["detail"]
    count = '{"events": [' + ",".join(["{}"] * (MAX_BATCH_EVENTS + 1)) + "]}"
    assert str(MAX_BATCH_EVENTS) in problem(ingest.http.post("/v1/events", content=count), 413)["detail"]
    assert events_of(topics, visitor) == []


def test_the_largest_batch_is_taken_whole(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    sent = [
        {"event_id": str(ULID()), "type": "view_item_list", "visitor_id": visitor, "occurred_at": EARLIEST_MS}
        for _ in range(MAX_BATCH_EVENTS)
    ]
    assert post(ingest, sent).json()["accepted"] == MAX_BATCH_EVENTS
    assert [each.event_id for each in events_of(topics, visitor)] == [each["event_id"] for each in sent]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/batch"])
def test_half_an_emoji_takes_no_purchase_with_it(
    ingest: RunningService, topics: ServiceSettings, visitor: str, path: str
) -> None:
    """Nor do bytes that are no text: each entry is judged by itself, and the odd ones are dead letters."""
    if path == "/v1/events":
        name, good = "events", json.dumps(view(visitor, type="purchase", query="?"))
    else:
        order = {"type": "track", "event": "Order Completed", "anonymousId": visitor}
        name, good = "batch", json.dumps(order | {"properties": {"product_id": "p1", "query": "?"}})
    odd = [
        good.encode().replace(b'"?"', b'"%s-%s"' % (visitor.encode(), each))
        for each in (rb"\ud83d", b"caf\xe9", b"\x00")
    ]
    entries = [odd[0], good.encode(), odd[1], good.encode(), odd[2]]
    content = b'{"%s":[%s]}' % (name.encode(), b",".join(entries))
    answer = ingest.http.post(path, content=content, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code in {200, 202}, answer.text
    assert answer.json()["accepted"] == 2
    assert [each["index"] for each in answer.json()["rejected"]] == [0, 2, 4]
    assert {each.type for each in events_of(topics, visitor)} == {"purchase"}
    assert [raw for raw, _ in dead_letters(topics, f"{visitor}-")] == odd


def test_a_client_that_hangs_up_disturbs_no_one(ingest: RunningService, visitor: str) -> None:
    address = ("127.0.0.1", ingest.port)
    for _ in range(20):
        with socket.create_connection(address) as client:
            client.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert post(ingest, [view(visitor)]).status_code == 202
    assert "Traceback" not in ingest.log.read_text()


# Products


def test_products_are_put_changed_and_deleted(
    ingest: RunningService, topics: ServiceSettings, visitor: str
) -> None:
    product_id = f"{visitor}/red 42"
    answer = ingest.http.put("/v1/products", json={"products": [boot(product_id), boot("bad", price=-1)]})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert "$.price" in answer.json()["rejected"][0]["reason"]
    path = f"/v1/products/{product_id.replace('/', '%2F').replace(' ', '%20')}"
    assert ingest.http.delete(path).json() == {"accepted": 1, "rejected": []}
    put, deleted = of_key(topics, PRODUCTS, product_id)
    assert products.decode(put.value() or b"").name == "Boot"
    assert deleted.value() is None


def test_product_batches_have_their_own_limits(ingest: RunningService) -> None:
    count = json.dumps({"products": [{}] * (MAX_BATCH_PRODUCTS + 1)})
    assert str(MAX_BATCH_PRODUCTS) in problem(ingest.http.put("/v1/products", content=count), 413)["detail"]
    large = b" " * (products.MAX_BATCH_BYTES + 1)
    problem(ingest.http.put("/v1/products", content=large), 413)
    problem(ingest.http.put("/v1/products", content=b"{"), 400)
    problem(ingest.http.put("/v1/products", json={"products": []}), 422)
    problem(ingest.http.delete("/v1/products/" + "x" * 129), 422)
    problem(ingest.http.delete("/v1/products/p1", headers={"Authorization": "Bearer wrong"}), 401)


# The API as a whole


def test_what_kafka_refuses_for_good_is_told_of_its_entry_and_the_others_are_written(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    limit_size(kafka, PRODUCTS, 4_000)
    with serving(kafka, tmp_path / "log") as ingest:
        bearer = {"Authorization": f"Bearer {KEY}"}

        def put(*sent: Json) -> httpx.Response:
            return ingest.http.put("/v1/products", json={"products": sent}, headers=bearer)

        large = boot("large", description="x" * 8_000)

        @patiently(20)
        def goes_by_its_limit() -> None:
            assert put(large).status_code == 422

        goes_by_its_limit()
        answer = put({"product_id": "bad"}, boot("one"), large, boot("two", description="y" * 2_500))
        assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
        reasons = {each["index"]: each["reason"] for each in answer.json()["rejected"]}
        assert set(reasons) == {0, 2}
        assert "for good" in reasons[2]
        assert {(each.key() or b"").decode() for each in read_topic(kafka, PRODUCTS)} >= {"one", "two"}


def test_every_error_is_a_problem_document(ingest: RunningService) -> None:
    assert problem(ingest.http.get("/nowhere"), 404)["instance"] == "/nowhere"
    assert problem(ingest.http.get("/v1/events"), 405)["title"] == "Method Not Allowed"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(ingest.http.post("/v1/events", content=b"a=b", headers=form), 415)


def test_only_the_shops_pages_may_call(ingest: RunningService) -> None:
    def preflight(origin: str) -> httpx.Response:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return ingest.http.options("/v1/events", headers=asked)

    assert preflight(PAGE).headers["access-control-allow-origin"] == PAGE
    assert "access-control-max-age" not in preflight(NOBODY).headers
    refused = post(ingest, [], headers={"Origin": NOBODY})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (403, NOBODY)
    assert "EDDY_ALLOWED_ORIGINS" in refused.json()["detail"]


def test_the_documentation_describes_every_body(ingest: RunningService) -> None:
    document = ingest.http.get("/openapi.json").json()
    described = set(document["components"]["schemas"])
    assert {"Event", "Product", "Answer", "NothingAccepted", "VisitorAnswer"} <= described
    named = [part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]]
    assert set(named) <= described
    for path in ("/v1/events", "/v1/products", "/v1/products/{product_id}", "/v1/visitors"):
        assert path in document["paths"]
    assert ingest.http.get("/docs").status_code == 200


def test_metrics_count_what_came_in(ingest: RunningService, visitor: str) -> None:
    def value(sample: str) -> float:
        lines = ingest.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))

    accepted = "eddy_ingest_events_accepted_total"
    refused = 'eddy_ingest_events_rejected_total{kind="validate"}'
    before = value(accepted), value(refused)
    post(ingest, [view(visitor), view(visitor, type="browse")])
    assert (value(accepted), value(refused)) == (before[0] + 1, before[1] + 1)
    assert value("eddy_ingest_acknowledged_seconds_count") > 0


def test_no_token_is_written_to_the_log(ingest: RunningService, visitor: str) -> None:
    post(ingest, [view(visitor)], params={"token": "secret-token-in-the-query"})
    ingest.http.get("/nowhere?token=secret-token-in-the-query")
    assert "secret-token" not in ingest.log.read_text()


# Broker and process


def test_without_a_broker_it_is_503_within_two_seconds(tmp_path: Path, visitor: str) -> None:
    [nobody] = free_ports(1)
    away = ServiceSettings(kafka_bootstrap=f"127.0.0.1:{nobody}")
    with serving(away, tmp_path / "log", ready=False) as service:
        sends: list[Callable[[], httpx.Response]] = [
            lambda: post(service, [view(visitor)]),
            lambda: post(service, [view(visitor), {}]),
            lambda: service.http.post("/v1/events", content=b"garbage"),
            lambda: service.http.put("/v1/products", json={"products": [boot("p1")]}),
            lambda: service.http.delete("/v1/products/p1"),
        ]
        started = time.monotonic()
        with ThreadPoolExecutor(len(sends)) as senders:
            responses = list(senders.map(lambda send: send(), sends))
        assert time.monotonic() - started < 2
        for response in responses:
            problem(response, 503)
            assert int(response.headers["retry-after"]) >= 1
        # Of the sends that would have been taken each one's event.
        assert "eddy_ingest_events_turned_away_total 2.0" in service.metrics().splitlines()
        assert service.http.get("/readyz").status_code == 503
        assert service.http.get("/healthz").status_code == 200


def test_a_port_in_use_ends_the_start_with_what_to_do(ingest: RunningService) -> None:
    environment = os.environ | {
        "EDDY_INGEST_PORT": str(ingest.port),
        "EDDY_TOKEN_SECRET": "a secret of the tests",
        "EDDY_API_KEY": KEY,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "services.ingest"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "EDDY_INGEST_PORT" in done.stderr


def test_without_its_topics_it_is_not_ready_and_says_what_to_do(broker: Broker, tmp_path: Path) -> None:
    empty = ServiceSettings(kafka_bootstrap=broker.bootstrap, topic_prefix=f"t{uuid4().hex[:8]}.")
    with serving(empty, tmp_path / "log", ready=False) as service:

        @patiently(10, 0.05)
        def says_it() -> None:
            assert "topics create" in service.http.get("/readyz").json()["waiting_for"]

        says_it()
        create(empty)
        service.wait_for("/readyz")


def test_a_restarted_broker_is_found_again(tmp_path: Path, visitor: str) -> None:
    """What was answered 202 before and after is there; what was answered 503 may be."""
    own = Broker(tmp_path / "kafka", *free_ports(2), more=QUICKLY_BACK)
    own.prepare()
    settings = ServiceSettings(kafka_bootstrap=own.bootstrap)
    process = _start(own, settings)
    try:
        create(settings)
        with serving(settings, tmp_path / "log") as service:
            first, lost, second = view(visitor), view(visitor), view(visitor)
            assert post(service, [first]).status_code == 202
            process.terminate()
            process.wait()
            started = time.monotonic()
            assert post(service, [lost]).status_code == 503
            assert time.monotonic() - started < 2
            process = _start(own, settings)

            @patiently(60)
            def check_accepted() -> None:
                assert post(service, [second]).status_code == 202

            check_accepted()
            found = [event.event_id for event in events_of(settings, visitor)]
            assert {first["event_id"], second["event_id"]} <= set(found)
            assert found.count(first["event_id"]) == 1
    finally:
        process.kill()
        process.wait()


def _start(broker: Broker, settings: ServiceSettings) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @patiently(30)
    def answers() -> None:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=1):
            return

    answers()
    return process


async def _send_until(url: str, visitor_id: str, stop: Callable[[int], bool]) -> tuple[list[str], list[str]]:
    """Sends events over 8 connections until the service is gone; the ids answered 202, and the others."""
    accepted: list[str] = []
    others: list[str] = []

    async def one_connection(client: httpx.AsyncClient) -> None:
        while True:
            event = view(visitor_id)
            try:
                answer = await client.post(url + "/v1/events", json={"events": [event]})
            except httpx.TransportError:
                return
            (accepted if answer.status_code == 202 else others).append(event["event_id"])
            stop(len(accepted))

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=8), timeout=10) as client:
        await asyncio.gather(*(one_connection(client) for _ in range(8)))
    return accepted, others


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_what_was_accepted_survives_the_end_of_the_process(
    kafka: ServiceSettings, tmp_path: Path, visitor: str, how: signal.Signals
) -> None:
    patient = {"EDDY_INGEST_ACK_TIMEOUT_MS": "10000"}  # a busy machine's broker is no part of this
    with run_service("ingest", kafka, tmp_path / "log", environment=patient) as service:
        sent: list[int] = []

        def end_it_under_load(accepted: int) -> bool:
            if accepted >= 300 and not sent:
                sent.append(accepted)
                service.process.send_signal(how)
            return bool(sent)

        accepted, others = await _send_until(service.url, visitor, end_it_under_load)
        service.process.wait(timeout=10)
    found = [event.event_id for event in events_of(kafka, visitor)]
    assert others == []
    assert set(accepted) <= set(found)
    assert len(found) == len(set(found))
    if how is signal.SIGTERM:
        assert set(accepted) == set(found)  # no request was cut off
        assert "Traceback" not in (tmp_path / "log").read_text()
