"""What dashboards and alarms ask for is there: a real Prometheus watches the running stack."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from infra.alarms import alarms, recorded
from infra.stack.lifecycle import Stack
from infra.watching.engine_dashboards import QDRANT
from infra.watching.files import DASHBOARDS
from tests.support.machine import QdrantServer
from tests.support.patience import patiently
from tests.support.prometheus import Prometheus, run_node_exporter, run_prometheus

WITHIN_S = 60
# Series as they stand in an expression, with what they are chosen by.
SELECTOR = re.compile(r"\b(?:eddy[_:]|node_|up\b)[\w:]*(?:\{[^}]*\})?")
SLOT = {"name": "for_you", "kind": "for_you", "k": 6}


class Shopper:
    """Does once more, at each turn, what makes every stage move: clicks into an open page's row."""

    def __init__(self, stack: Stack, live: ClientConnection, visitor: str, token: str) -> None:
        self._ingest, self._recommender = stack.ingest_url, stack.recommender_url
        self._admin = {"Authorization": f"Bearer {stack.environment['EDDY_API_KEY']}"}
        self._live, self._visitor, self._token = live, visitor, token
        self._numbers = count(time.time_ns())

    def act(self) -> None:
        """A row is pushed, clicked into, and pushed anew; words are searched; a product is new."""
        row = self._next_row(lambda _row: True)
        number = next(self._numbers)
        event_id = f"00000000-0000-4000-8000-{number % 10**12:012d}"
        clicked = {"product_id": row["items"][0]["product_id"], "recommendation_id": row["recommendation_id"]}
        self._post({"event_id": event_id, "type": "select_item", **clicked})
        self._next_row(lambda row: row["caused_by"] == event_id)
        self._post({"event_id": f"{number}", "type": "browse"}, 422)
        words = {"q": f"a shirt for a {number}", "visitor_id": self._visitor, "token": self._token}
        assert httpx.get(f"{self._recommender}/v1/search", params=words).status_code == 200
        product = {
            "product_id": f"watched-{number}",
            "name": f"Boots {number}",
            "price": 1,
            "currency": "EUR",
        }
        about = {"category": ["Watched"], "type": "boots", "availability": "in_stock"}
        body = {"products": [product | about | {"updated_at": int(time.time() * 1000)}]}
        answer = httpx.put(f"{self._ingest}/v1/products", json=body, headers=self._admin)
        assert answer.status_code == 202, answer.text

    def _post(self, event: dict[str, str], status: int = 202) -> None:
        body = {"events": [event | {"visitor_id": self._visitor, "occurred_at": int(time.time() * 1000)}]}
        answer = httpx.post(f"{self._ingest}/v1/events", json=body, headers={"X-Eddy-Token": self._token})
        assert answer.status_code == status, answer.text

    def _next_row(self, fits: Callable[[Any], bool]) -> Any:
        self._live.send(json.dumps({"type": "subscribe", "slots": [SLOT]}))
        while True:
            message = json.loads(self._live.recv(timeout=20))
            if message.get("items") and fits(message):
                return message


@contextmanager
def open_page(stack: Stack) -> Iterator[Shopper]:
    who = httpx.post(f"{stack.ingest_url}/v1/visitors").json()
    url = f"{stack.recommender_url.replace('http', 'ws')}/v1/live"
    with connect(f"{url}?{urlencode({'visitor_id': who['visitor_id'], 'token': who['token']})}") as live:
        yield Shopper(stack, live, who["visitor_id"], who["token"])


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, qdrant: QdrantServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """It has seen a shopper act, and evaluates our rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    services = ("ingest", "recommender", "session_processor", "embedder")
    targets = {f"eddy-{each.replace('_', '-')}": f"127.0.0.1:{stack.ports[each]}" for each in services}
    targets["kafka"] = f"127.0.0.1:{stack.environment['EDDY_KAFKA_METRICS_PORT']}"
    if qdrant is not None:
        targets["qdrant"] = urlsplit(qdrant.environment["EDDY_QDRANT_URL"]).netloc
    with ExitStack() as ends:
        targets["machine"] = ends.enter_context(run_node_exporter(folder))
        yield ends.enter_context(run_prometheus(folder, targets))


def test_every_expression_returns_data(
    stack: Stack, prometheus: Prometheus, qdrant: QdrantServer | None
) -> None:
    """Of dashboards each whole; of alarms, which return something only when all is not well, each series."""
    asked = {
        query.text: f"{each.title}: {panel.title}"
        for each in DASHBOARDS
        # No server can be had from a package registry: its expressions are read, see below, and no more.
        if each is not QDRANT or qdrant is not None
        for panel in each.panels
        for query in panel.queries
    }
    asked |= dict.fromkeys(recorded(), "a recorded series")
    for alarm in alarms():
        series = SELECTOR.findall(alarm.expression)
        assert series, alarm.name
        asked |= dict.fromkeys(series, alarm.name)
    missing = dict(asked)
    with open_page(stack) as shopper:

        @patiently(WITHIN_S, 0.5)
        def all_return_data() -> None:
            shopper.act()
            for expression in [*missing]:
                if prometheus.query(expression):
                    del missing[expression]
            assert missing == {}

        all_return_data()
    assert len(asked) > 140  # nothing has fallen out


def test_every_rule_is_evaluated_and_every_expression_is_understood(prometheus: Prometheus) -> None:
    for query in (query for panel in QDRANT.panels for query in panel.queries):
        prometheus.query(query.text)

    @patiently(20, 0.2)
    def rules_are_well() -> None:
        rules = prometheus.rules()
        assert {rule["name"] for rule in rules} >= {alarm.name for alarm in alarms()} | {*recorded()}
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []

    rules_are_well()
