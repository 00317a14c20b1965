"""Segment's HTTP tracking API on a real broker, sent to by the unmodified SDKs of RudderStack and Segment."""

import gzip
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from rudderstack.analytics.client import Client as RudderStack  # type: ignore[import-untyped]

from infra.stack.broker import Broker
from schemas import deadletters, events, identities
from schemas.events import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    Context,
    Event,
    Item,
    id_of_order,
)
from schemas.identities import Identity, visitor_of
from schemas.topics import EVENTS, EVENTS_DLQ, IDENTITIES
from services.clock import now_ms
from services.ingest.segment.messages import KINDS
from services.settings import ServiceSettings
from tests.support import npm
from tests.support.kafka import create_topics, read_topic
from tests.support.machine import free_ports
from tests.support.services import KEY, PAGE, RunningService, run_service

WRITE_KEY = "the write key of the tests"

Json = dict[str, Any]
# Sends (method, message) pairs to a URL; fails where the SDK says that anything was not delivered.
Send = Callable[[str, list[tuple[str, Json]]], None]

VIEWED: Json = {"event": "Product Viewed", "properties": {"product_id": "p1", "price": 89.5}}
PAGE_CONTEXT: Json = {"page": {"path": "/products/p1", "referrer": "/"}, "locale": "en-GB"}


@pytest.fixture(scope="module")
def topics(broker: Broker) -> ServiceSettings:
    """One set of topics for the tests that look only at people of their own."""
    return create_topics(broker)


@pytest.fixture(scope="module")
def ingest(topics: ServiceSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """An ingest process that lets in who shows a key."""
    keys = {"EDDY_WRITE_KEY": WRITE_KEY, "EDDY_AUTH": "required"}
    with run_service(
        "ingest", topics, tmp_path_factory.mktemp("ingest") / "log", environment=keys
    ) as service:
        service.http.auth = (WRITE_KEY, "")
        yield service


@pytest.fixture
def anonymous() -> str:
    """An anonymous visitor of this test alone."""
    return f"anon-{uuid4().hex}"


def from_python(url: str, calls: list[tuple[str, Json]]) -> None:
    """RudderStack's Python SDK; `messages` name what they say as Segment's does."""
    failures: list[Exception] = []
    client = RudderStack(
        WRITE_KEY, host=url, upload_interval=0.2, on_error=lambda error, _: failures.append(error)
    )
    names = {"anonymousId": "anonymous_id", "userId": "user_id", "previousId": "previous_id"}
    names |= {"messageId": "message_id", "groupId": "group_id"}
    for method, message in calls:
        told = {names.get(name, name): value for name, value in json.loads(json.dumps(message)).items()}
        if "timestamp" in told:
            told["timestamp"] = datetime.fromisoformat(told["timestamp"])
        assert getattr(client, method)(**told)[0]
    client.shutdown()
    assert failures == []


def from_segments_node(url: str, calls: list[tuple[str, Json]]) -> None:
    """@segment/analytics-node, as it comes from its registry."""
    told = npm.send("send-segment.mjs", url, WRITE_KEY, calls=calls)
    assert told["errors"] == []
    assert len(told["delivered"]) == len(calls)


def from_rudderstacks_node(url: str, calls: list[tuple[str, Json]]) -> None:
    """@rudderstack/rudder-sdk-node with its defaults: packed by gzip, and declared as a form."""
    told = npm.send("send-rudderstack.mjs", url, WRITE_KEY, calls=calls)
    assert told == {"delivered": len(calls), "errors": []}


SDKS = pytest.mark.parametrize(
    "send",
    [from_python, from_segments_node, from_rudderstacks_node],
    ids=["rudderstack-python", "analytics-node", "rudder-sdk-node"],
)


def events_of(settings: ServiceSettings, visitor_id: str) -> list[Event]:
    found = [each for each in read_topic(settings, EVENTS) if each.key() == visitor_id.encode()]
    return [events.decode(each.value() or b"") for each in found]


def identities_of(settings: ServiceSettings, visitor_id: str) -> list[Identity]:
    found = [each for each in read_topic(settings, IDENTITIES) if each.key() == visitor_id.encode()]
    return [identities.decode(each.value() or b"") for each in found]


def dead_letters(settings: ServiceSettings, holding: str) -> list[tuple[bytes, dict[str, str]]]:
    return [
        (value, {name: told.decode() for name, told in cast("deadletters.Headers", each.headers() or [])})
        for each in read_topic(settings, EVENTS_DLQ)
        if holding.encode() in (value := each.value() or b"")
    ]


def problem(response: httpx.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    document: Json = response.json()
    assert document["status"] == status
    assert document["code"]
    assert document["message"] == document["detail"] != ""
    return document


def view(anonymous_id: str, **fields: Any) -> Json:
    return {"type": "track", "anonymousId": anonymous_id, **VIEWED, **fields}


# The SDKs


@SDKS
def test_what_an_sdk_tracks_lies_on_the_topic(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, send: Send
) -> None:
    who = {"anonymousId": anonymous}
    cart = {"productId": "p1", "quantity": "2", "price": "89.50", "currency": "eur", "value": 179}
    order = {
        "orderId": "o1",
        "revenue": 179,
        "total": 190,
        "currency": "EUR",
        "products": [{"productId": "p1", "quantity": 2, "price": 89.5}, {"sku": "p2", "quantity": 1}],
    }
    before = int(now_ms())
    send(
        ingest.url,
        [
            ("track", {**who, **VIEWED, "context": PAGE_CONTEXT}),
            ("track", {**who, "event": "product_added", "properties": cart}),
            ("track", {**who, "event": "Order Completed", "properties": order}),
            ("track", {**who, "event": "Products Searched", "properties": {"query": "red shoes"}}),
            ("track", {**who, "event": "Signed Up", "properties": {"plan": "free"}}),
            ("page", {**who, "name": "Home", "properties": {"path": "/"}}),
            ("screen", {**who, "name": "Home"}),
            ("group", {**who, "groupId": "g1"}),
        ],
    )
    after = int(now_ms())
    viewed, added, bought, searched = events_of(topics, anonymous)
    assert (viewed.type, viewed.product_id) == ("view_item", "p1")
    assert viewed.context == Context(page="/products/p1", referrer="/", locale="en-GB")
    assert (added.type, added.value, added.currency) == ("add_to_cart", 179, "EUR")
    assert added.items == (Item(product_id="p1", quantity=2, price=89.5),)
    assert (bought.type, bought.value, bought.currency) == ("purchase", 179, "EUR")
    assert bought.items == (Item(product_id="p1", quantity=2, price=89.5), Item(product_id="p2", quantity=1))
    assert (searched.type, searched.query) == ("search", "red shoes")
    for each in (viewed, added, bought, searched):
        assert before <= each.occurred_at <= after
        assert each.received_at is not None
        assert each.user_id is None
    assert identities_of(topics, anonymous) == []


@SDKS
def test_what_an_sdk_identifies_joins_visitor_and_user(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, user: str, send: Send
) -> None:
    both = {"anonymousId": anonymous, "userId": user}
    send(
        ingest.url,
        [
            ("track", {"anonymousId": anonymous, **VIEWED}),
            ("identify", {**both, "traits": {"email": "a@example.org"}}),
            ("identify", {"userId": user, "traits": {"plan": "x"}}),
            ("track", {"userId": user, **VIEWED}),
            ("track", {**both, **VIEWED}),
            ("alias", {"previousId": f"old-{user}", "userId": user}),
        ],
    )
    [join] = identities_of(topics, anonymous)
    assert (join.user_id, join.user) == (user, visitor_of(user))
    assert abs(join.occurred_at - now_ms()) < 60_000
    assert [each.user_id for each in events_of(topics, anonymous)] == [None, user]
    [own] = events_of(topics, visitor_of(user))
    assert own.user_id == user
    for former in (f"old-{user}", visitor_of(f"old-{user}")):
        assert [each.user_id for each in identities_of(topics, former)] == [user]
    assert identities_of(topics, visitor_of(user)) == []


@SDKS
def test_a_message_that_a_shop_sends_twice_has_one_event_id(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, send: Send
) -> None:
    at = datetime.now(UTC).isoformat()
    message = {"anonymousId": anonymous, **VIEWED, "messageId": "order-17-viewed", "timestamp": at}
    send(ingest.url, [("track", message)])
    send(ingest.url, [("track", message), ("track", {**message, "messageId": "order-18-viewed"})])
    first, again, other = (each.event_id for each in events_of(topics, anonymous))
    assert first == again != other


@SDKS
def test_an_order_that_is_told_again_under_other_message_ids_is_one_event(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, send: Send
) -> None:
    def order(message_id: str, **properties: Any) -> tuple[str, Json]:
        bought = {"currency": " eur ", "products": [{"product_id": "p1"}], **properties}
        told = {"anonymousId": anonymous, "event": "Order Completed", "messageId": message_id}
        return ("track", told | {"properties": bought})

    again = [order(str(uuid4()), order_id="o-1", revenue=20.5, checkout_id=f"c{number}") for number in (1, 2)]
    send(ingest.url, [*again, order("own id", orderId="o-1"), order(str(uuid4()), checkoutId=7)])
    first, second, third, other = events_of(topics, anonymous)
    assert first.event_id == second.event_id == third.event_id == id_of_order("purchase", "o-1")
    assert (first.order_id, first.currency) == ("o-1", "EUR")
    assert other.event_id == id_of_order("purchase", "7")


@contextmanager
def losing_the_first_answer(url: str) -> Iterator[str]:
    """Passes requests on to ingest; the first answer is lost, and the sender gets a 503."""
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = ("authorization", "content-type", "content-encoding")
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            answer = httpx.post(url + self.path, content=body, headers=headers)
            answers.append(answer.status_code)
            lost = len(answers) == 1
            content = b"" if lost else answer.content
            self.send_response(503 if lost else answer.status_code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert answers[:2] == [200, 200]
    assert set(answers) == {200}  # rudder-sdk-node sends its first message alone


@SDKS
def test_a_message_that_the_sdk_itself_tries_again_counts_once(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, user: str, send: Send
) -> None:
    both = {"anonymousId": anonymous, "userId": user}
    with losing_the_first_answer(ingest.url) as url:
        send(url, [("track", {**both, **VIEWED}), ("identify", both)])
    found = events_of(topics, anonymous)
    assert len(found) == 2
    assert len({each.event_id for each in found}) == 1
    assert {each.user_id for each in identities_of(topics, anonymous)} == {user}


def test_rudderstacks_sdk_does_not_repeat_what_is_refused(ingest: RunningService) -> None:
    def count_refused() -> float:
        lines = ingest.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'problems_total{status="401"}' in line)

    before = count_refused()
    failures: list[Exception] = []
    client = RudderStack(
        "wrong", host=ingest.url, upload_interval=0.1, on_error=lambda e, _: failures.append(e)
    )
    client.track(anonymous_id="a", event="Product Viewed", properties={"product_id": "p1"})
    client.shutdown()
    assert count_refused() == before + 1
    assert "EDDY_WRITE_KEY" in str(failures[0])


def test_rudderstacks_node_sdk_lives_on_when_all_that_it_sent_is_refused(
    ingest: RunningService, topics: ServiceSettings, anonymous: str
) -> None:
    """It throws what it is answered, and Node ends a process for what nobody catches."""
    bad = {"anonymousId": anonymous, "event": "Product Viewed", "properties": {"name": "Monopoly"}}
    from_rudderstacks_node(ingest.url, [("track", bad)])
    assert [told[deadletters.STAGE] for _, told in dead_letters(topics, anonymous)] == ["validate"]


# The calls


@pytest.mark.parametrize("kind", ["track", "page", "identify", "screen", "group", "alias"])
def test_every_call_answers_success(ingest: RunningService, anonymous: str, kind: str) -> None:
    answer = ingest.http.post(f"/v1/{kind}", json=view(anonymous))
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("success") is True
    assert told == {"accepted": int(kind == "track"), "ignored": int(kind != "track"), "rejected": []}


CALLS: Final = {
    **{path: kind for kind in KINDS for path in (f"/v1/{kind}", f"/v1/{kind[0]}")},
    **dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch")),
}
BASIC: Final = f"Basic {b64encode(f'{WRITE_KEY}:'.encode()).decode()}"


@pytest.mark.parametrize(
    "shown",
    [
        {"headers": {"Authorization": BASIC}},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"writeKey": WRITE_KEY},
        {"params": {"writeKey": WRITE_KEY}},
    ],
)
@pytest.mark.parametrize("path", CALLS)
def test_who_shows_a_key_is_let_in(ingest: RunningService, anonymous: str, path: str, shown: Json) -> None:
    body = view(anonymous) if CALLS[path] else {"batch": [view(anonymous)]}
    body |= {"writeKey": shown.get("writeKey")}
    headers, params = shown.get("headers"), shown.get("params")
    answer = httpx.post(ingest.url + path, json=body, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == int(CALLS[path] in {"track", None})


@pytest.mark.parametrize(
    "declared", ["application/x-www-form-urlencoded", "application/octet-stream", "text/html", "*/*", ""]
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_json_may_be_declared_as_anything(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, declared: str, is_packed: bool
) -> None:
    body = json.dumps({"batch": [view(anonymous)]}).encode()
    headers = {"Content-Type": declared, **({"Content-Encoding": "gzip"} if is_packed else {})}
    packed = gzip.compress(body) if is_packed else body
    assert ingest.http.post("/v1/import", content=packed, headers=headers).status_code == 200
    assert len(events_of(topics, anonymous)) == 1


def test_what_an_sdk_measures_of_itself_is_taken_and_says_nothing(ingest: RunningService) -> None:
    measured = {"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]}
    answer = httpx.post(f"{ingest.url}/v1/m", content=json.dumps(measured))  # without a key
    assert (answer.status_code, answer.json()["success"]) == (200, True)


@pytest.mark.parametrize("path", ["/sourceConfig", "/sourceConfig/"])
def test_rudderstacks_sdks_are_told_that_all_goes_here(ingest: RunningService, path: str) -> None:
    asked = {"p": "npm", "v": "3.34.1", "writeKey": WRITE_KEY}
    source = httpx.get(ingest.url + path, params=asked).json()["source"]
    assert (source["enabled"], source["destinations"], source["config"]) == (True, [], {})
    assert source["id"]
    assert httpx.head(ingest.url + path, params={"view": "ad"}).status_code == 200
    told = problem(httpx.get(ingest.url + path, params={"writeKey": "wrong"}), 401)
    assert "EDDY_WRITE_KEY" in told["detail"]


def test_segments_sdks_are_told_where_to_send(ingest: RunningService) -> None:
    told = httpx.get(f"{ingest.url}/v1/projects/{quote(WRITE_KEY)}/settings").json()
    assert told["integrations"]["Segment.io"] == {
        "apiKey": WRITE_KEY,
        "apiHost": f"{ingest.url.removeprefix('http://')}/v1",
        "protocol": "http",
    }
    problem(httpx.get(f"{ingest.url}/v1/projects/wrong/settings"), 401)


def test_a_dead_letter_of_a_short_path_is_one_of_the_long(
    ingest: RunningService, topics: ServiceSettings, anonymous: str
) -> None:
    bad = view(anonymous, properties={})
    problem(ingest.http.post("/v1/t", json=bad), 400)
    ingest.http.post("/v1/b", json={"batch": [bad]})
    told = [headers[deadletters.SOURCE] for _, headers in dead_letters(topics, anonymous)]
    assert told == ["/v1/track", "/v1/batch"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"writeKey": "wrong"},
        {"headers": {"Authorization": f"Basic {b64encode(b'wrong:').decode()}"}},
        {"headers": {"Authorization": f"Bearer {KEY}"}, "writeKey": "wrong"},
        {"headers": {"Authorization": "Bearer wrong"}, "writeKey": WRITE_KEY},
        {"params": {"writeKey": "wrong"}, "writeKey": WRITE_KEY},
    ],
)
def test_who_shows_none_or_a_wrong_one_is_401_and_leaves_nothing(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, wrong: Json
) -> None:
    headers, key = wrong.get("headers", {}), {"writeKey": wrong.get("writeKey")}
    for path, sent in (("track", view(anonymous)), ("batch", {"batch": [view(anonymous)]})):
        url = f"{ingest.url}/v1/{path}"
        problem(httpx.post(url, json=sent | key, headers=headers, params=wrong.get("params")), 401)
    assert events_of(topics, anonymous) == []
    assert dead_letters(topics, anonymous) == []


def test_garbage_of_nobody_is_401_and_not_kept(
    ingest: RunningService, topics: ServiceSettings, anonymous: str
) -> None:
    problem(httpx.post(f"{ingest.url}/v1/batch", content=anonymous + "{"), 401)
    assert dead_letters(topics, anonymous) == []


def test_each_message_of_a_batch_has_its_own_verdict(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, user: str
) -> None:
    bad = view(anonymous, properties={"name": "Monopoly"})
    huge = view(anonymous, properties={"product_id": "p1", "note": "x" * MAX_EVENT_BYTES})
    page = {"type": "page", "anonymousId": anonymous}
    login = {"type": "identify", "anonymousId": anonymous, "userId": user}
    answer = ingest.http.post("/v1/batch", json={"batch": [view(anonymous), bad, page, login, huge]})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["success"], told["accepted"], told["ignored"]) == (True, 2, 1)
    assert [each["index"] for each in told["rejected"]] == [1, 4]
    letters = dead_letters(topics, anonymous)
    (whole, _), (cut, size) = letters
    assert json.loads(whole) == bad
    assert len(cut) == deadletters.RAW_MAX < int(size[deadletters.SIZE])
    assert [told[deadletters.STAGE] for _, told in letters] == ["validate", "size"]
    assert {told[deadletters.SOURCE] for _, told in letters} == {"/v1/batch"}
    assert [told[deadletters.REASON] for _, told in letters] == [each["reason"] for each in told["rejected"]]
    assert len(events_of(topics, anonymous)) == 1
    assert len(identities_of(topics, anonymous)) == 1


def test_a_batch_of_nothing_but_refused_messages_is_no_success_and_a_call_is_400_and_both_are_kept(
    ingest: RunningService, topics: ServiceSettings, anonymous: str
) -> None:
    bad, other = (view(anonymous, properties={"number": number}) for number in range(2))
    answer = ingest.http.post("/v1/batch", json={"batch": [bad, other]})
    told = answer.json()
    assert (answer.status_code, told["success"], told["accepted"]) == (200, False, 0)
    assert [each["index"] for each in told["rejected"]] == [0, 1]
    assert "product_id" in problem(ingest.http.post("/v1/track", json=bad), 400)["rejected"][0]["reason"]
    assert len(dead_letters(topics, anonymous)) == 3


def test_garbage_is_400_and_kept(ingest: RunningService, topics: ServiceSettings, anonymous: str) -> None:
    garbage = f'{{"batch": [{anonymous}'.encode() + b"\xff"
    problem(ingest.http.post("/v1/batch", content=garbage), 400)
    [(raw, told)] = dead_letters(topics, anonymous)
    assert (raw, told[deadletters.STAGE]) == (garbage, "body")


def test_an_empty_batch_says_nothing(ingest: RunningService) -> None:
    answer = ingest.http.post("/v1/batch", json={"batch": []})
    assert answer.json() == {"success": True, "accepted": 0, "ignored": 0, "rejected": []}


def test_packed_bodies_are_taken_up_to_the_same_limit(
    ingest: RunningService, topics: ServiceSettings, anonymous: str
) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    batch = json.dumps({"batch": [view(anonymous)]}).encode()
    assert ingest.http.post("/v1/batch", content=gzip.compress(batch), headers=packed).status_code == 200
    assert len(events_of(topics, anonymous)) == 1
    bomb = gzip.compress(b" " * 50 * MAX_BATCH_BYTES)
    assert len(bomb) < MAX_BATCH_BYTES
    assert (
        str(MAX_BATCH_BYTES)
        in problem(ingest.http.post("/v1/batch", content=bomb, headers=packed), 413)["detail"]
    )
    problem(ingest.http.post("/v1/batch", content=batch, headers=packed), 400)
    problem(ingest.http.post("/v1/batch", content=batch, headers={"Content-Encoding": "br"}), 415)


def test_a_call_and_a_batch_have_segments_limits(ingest: RunningService, anonymous: str) -> None:
    large = view(anonymous, properties={"product_id": "p1", "note": "x" * MAX_EVENT_BYTES})
    assert str(MAX_EVENT_BYTES) in problem(ingest.http.post("/v1/track", json=large), 413)["detail"]
    many = '{"batch": [' + ",".join(["{}"] * (MAX_BATCH_EVENTS + 1)) + "]}"
    assert str(MAX_BATCH_EVENTS) in problem(ingest.http.post("/v1/batch", content=many), 413)["detail"]


def test_both_ids_are_joined_once_and_another_user_at_once(
    ingest: RunningService, topics: ServiceSettings, anonymous: str, user: str
) -> None:
    seen = {"type": "page", "anonymousId": anonymous, "userId": user}
    for _ in range(3):
        answer = ingest.http.post("/v1/batch", json={"batch": [seen, view(anonymous, userId=user)]})
        assert answer.json()["accepted"] == 2
    ingest.http.post("/v1/page", json={"anonymousId": anonymous, "userId": f"other-{user}"})
    joins = identities_of(topics, anonymous)
    assert [each.user_id for each in joins] == [user, f"other-{user}"]
    assert joins[1].replaces(joins[0])


def test_the_shops_pages_may_send_with_a_write_key(ingest: RunningService, anonymous: str) -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        # RudderStack's from a page that sends again; Segment's has X-Retry-Count.
        "Access-Control-Request-Headers": "anonymousid,authorization,content-type,sentat,rsa-recovered,"
        "rsa-retry-attempt,rsa-retry-reason,rsa-since-first-attempt,rsa-since-last-attempt,x-retry-count",
    }
    for path in ("/v1/batch", "/v1/track", "/v1/identify", "/v1/page"):
        allowed = ingest.http.options(path, headers=asked)
        assert allowed.status_code == 200, allowed.text
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    # analytics.js sends text, which needs no preflight, with the key in the body.
    sent = json.dumps(view(anonymous, writeKey=WRITE_KEY))
    headers = {"Origin": PAGE, "Content-Type": "text/plain"}
    answer = httpx.post(ingest.url + "/v1/track", content=sent, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_metrics_count_what_was_ignored_and_joined(ingest: RunningService, anonymous: str, user: str) -> None:
    def value(sample: str) -> float:
        lines = ingest.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))

    samples = ('eddy_ingest_segment_ignored_total{kind="screen"}', "eddy_ingest_identities_written_total")
    before = [value(each) for each in samples]
    who = {"anonymousId": anonymous}
    batch = [
        {"type": "screen", **who},
        {"type": "screen", **who},
        {"type": "identify", **who, "userId": user},
    ]
    ingest.http.post("/v1/batch", json={"batch": batch})
    assert [value(each) for each in samples] == [before[0] + 2, before[1] + 1]


def test_the_documentation_describes_the_calls(ingest: RunningService) -> None:
    document = ingest.http.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["write_key"]["scheme"] == "basic"
    described = set(document["components"]["schemas"])
    named = [part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]]
    assert set(named) <= described
    for kind in ("batch", "track", "identify", "page", "screen", "group", "alias"):
        post = document["paths"][f"/v1/{kind}"]["post"]
        refusals = {"400", "401", "408", "413", "414", "415", "429", "431", "503"}
        assert {"200"} | refusals == set(post["responses"])
        assert {"write_key": []} in post["security"]


def test_the_examples_of_the_documentation_are_accepted(ingest: RunningService) -> None:
    document = ingest.http.get("/openapi.json").json()
    for kind in ("batch", "track", "identify", "alias"):
        content = document["paths"][f"/v1/{kind}"]["post"]["requestBody"]["content"]
        for example in content["application/json"]["examples"].values():
            answer = ingest.http.post(f"/v1/{kind}", json=example["value"])
            assert (answer.status_code, answer.json()["ignored"]) == (200, 0), answer.text


def test_without_a_broker_it_is_503_and_to_be_sent_again(tmp_path: Path, anonymous: str, user: str) -> None:
    [nobody] = free_ports(1)
    away = ServiceSettings(kafka_bootstrap=f"127.0.0.1:{nobody}")
    keys = {"EDDY_WRITE_KEY": WRITE_KEY}
    with run_service("ingest", away, tmp_path / "log", environment=keys, until="/healthz") as service:
        login = {"anonymousId": anonymous, "userId": user}
        for path, body in (("track", view(anonymous)), ("identify", login), ("page", login), ("page", login)):
            answer = service.http.post(f"/v1/{path}", json=body)
            problem(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
