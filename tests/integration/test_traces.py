"""One click's way as one trace: ingest, session processor and recommender as real processes on a real broker,
and a collector that takes their spans by OTLP.

The share is next to nothing, so what is recorded is what a page has asked for.
"""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.stack.broker import Broker
from schemas.topics import EVENTS, EVENTS_DLQ
from schemas.traces import TRACEPARENT, TRACESTATE, TraceContext, parse
from services.clock import now_ms
from services.kafka.clients import AcknowledgedProducer
from services.logging import hash_visitor
from tests.support.collector import CollectedSpan, Collector, run_collector
from tests.support.kafka import quick_config, read_topic
from tests.support.machine import free_ports
from tests.support.patience import eventually, wait_until
from tests.support.services import RunningService, run_service
from tests.support.shop import FOR_YOU, Shop, open_shop

pytestmark = pytest.mark.timeout(200)

SERVICES: Final = {"storefront", "eddy-ingest", "eddy-session-processor", "eddy-recommender"}


class Flow(NamedTuple):
    """The running services of one shop, and who takes their spans."""

    shop: Shop
    ingest: RunningService
    processor: RunningService
    recommender: RunningService
    collector: Collector

    def post(self, context: TraceContext, *entries: dict[str, Any]) -> httpx.Response:
        headers = {TRACEPARENT: context.traceparent, TRACESTATE: f"eddy={context.span_id}"}
        return self.ingest.http.post("/v1/events", json={"events": entries}, headers=headers)

    async def wait_for(self, context: TraceContext, *names: str) -> dict[str, CollectedSpan]:
        """The spans of a trace by name, once these have come; topics are without the prefix of the test."""
        found: dict[str, CollectedSpan] = {}

        async def check_came() -> None:
            spans = self.collector.trace(context.trace_id)
            prefix = self.shop.settings.topic_prefix
            found.update({span.name.replace(prefix, ""): span for span in spans})
            assert set(names) <= set(found), (sorted(found), self.collector.requests)

        await eventually(check_came)
        return found


@pytest.fixture(scope="module")
def flow(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    shop, folder = open_shop(broker), tmp_path_factory.mktemp("flow")
    with run_collector() as collector:
        on = {"EDDY_TRACE_SHARE": "1e-9", "EDDY_TRACE_URL": collector.url}
        with (
            run_service("ingest", shop.settings, folder / "ingest", environment=on) as ingest,
            run_service("session_processor", shop.settings, folder / "sp", environment=on) as processor,
            run_service("recommender", shop.settings, folder / "rec", environment=on) as recommender,
        ):
            yield Flow(shop, ingest, processor, recommender, collector)


def new_context() -> TraceContext:
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8), True)


def view(visitor_id: str, product_id: str = "p4", **fields: Any) -> dict[str, Any]:
    happened = {"event_id": str(uuid4()), "type": "view_item", "occurred_at": int(now_ms()) - 20}
    return {**happened, "visitor_id": visitor_id, "product_id": product_id, **fields}


def parents(spans: dict[str, CollectedSpan]) -> dict[str, str | None]:
    """Each span's name and its parent's."""
    names = {span.span_id: name for name, span in spans.items()}
    return {name: names.get(span.parent_id or "", span.parent_id) for name, span in spans.items()}


async def test_a_click_is_one_trace_from_the_page_to_the_push(flow: Flow) -> None:
    context, visitor = new_context(), f"v-{uuid4().hex[:12]}"
    event = view(visitor)
    async with flow.shop.live(flow.recommender, visitor, FOR_YOU) as live:
        await live.next()
        assert flow.post(context, event).status_code == 202
        message = await live.push_of(event["event_id"])
    spans = await flow.wait_for(
        context, "view_item", "POST /v1/events", "process events", "process sessions", "send row"
    )
    assert parents(spans) == {
        "view_item": None,
        "POST /v1/events": "view_item",
        "send events": "POST /v1/events",
        "process events": "send events",
        "fold": "process events",
        "send sessions": "process events",
        "process sessions": "send sessions",
        "recommend for_you": "process sessions",
        "query products": "recommend for_you",
        "send row": "recommend for_you",
    }
    assert {span.service for span in spans.values()} == SERVICES
    assert {name: span.kind for name, span in spans.items()} == {
        "view_item": "client",
        "POST /v1/events": "server",
        "send events": "producer",
        "process events": "consumer",
        "fold": "internal",
        "send sessions": "producer",
        "process sessions": "consumer",
        "recommend for_you": "internal",
        "query products": "internal",
        "send row": "producer",
    }
    pushed = parse(message["traceparent"])
    assert pushed is not None
    assert (pushed.trace_id, pushed.span_id) == (context.trace_id, spans["recommend for_you"].span_id)
    assert spans["view_item"].span_id == context.span_id
    assert spans["view_item"].began_ms == pytest.approx(event["occurred_at"], abs=0.01)
    read = spans["process events"].attributes
    assert (read["messaging.system"], read["messaging.operation.type"]) == ("kafka", "process")
    assert read["messaging.destination.name"] == flow.shop.settings.topic(EVENTS)
    assert read["eddy.outcome"] == "news"
    assert spans["send events"].attributes["messaging.message.id"] == event["event_id"]
    assert spans["POST /v1/events"].attributes["http.response.status_code"] == 202
    assert visitor not in str(flow.collector.trace(context.trace_id))  # nor is the key of a message told


async def test_an_event_that_comes_twice_has_a_trace_each_time(flow: Flow) -> None:
    first, second, visitor = new_context(), new_context(), f"v-{uuid4().hex[:12]}"
    event = view(visitor)
    assert flow.post(first, event).status_code == 202
    names = ("view_item", "POST /v1/events", "send events", "process events", "fold", "send sessions")
    await flow.wait_for(first, *names, "process sessions")
    assert flow.post(second, event).status_code == 202
    spans = await flow.wait_for(second, "process events", "process sessions")
    assert spans["process events"].attributes["eddy.outcome"] == "known"
    assert len(flow.collector.trace(first.trace_id)) == len(names) + 1


async def test_a_page_that_is_not_recorded_is_not_followed(flow: Flow) -> None:
    silent, told = new_context()._replace(sampled=False), new_context()
    assert flow.post(silent, view("a-silent-visitor")).status_code == 202
    assert flow.post(told, view("a-silent-visitor")).status_code == 202
    await flow.wait_for(told, "process sessions")
    assert flow.collector.trace(silent.trace_id) == []


async def test_what_ingest_refuses_ends_its_trace_as_a_dead_letter(flow: Flow) -> None:
    context, visitor = new_context(), f"v-{uuid4().hex[:12]}"
    answer = flow.post(context, view(visitor), view(visitor, type="no such type"))
    assert answer.json()["accepted"] == 1
    spans = await flow.wait_for(context, "send events.dlq", "process events")
    assert parents(spans)["send events.dlq"] == "POST /v1/events"
    headers = [dict(letter.headers() or []) for letter in read_topic(flow.shop.settings, EVENTS_DLQ)]
    told = [parse(each.get(TRACEPARENT)) for each in headers]
    assert TraceContext(context.trace_id, spans["send events.dlq"].span_id, True) in told


async def test_what_the_processor_refuses_ends_its_trace_as_a_dead_letter(flow: Flow) -> None:
    context, visitor = new_context(), f"v-{uuid4().hex[:12]}"
    producer = AcknowledgedProducer(quick_config(flow.shop.settings, linger_ms=0))
    headers: list[tuple[str, str | bytes | None]] = [(TRACEPARENT, context.traceparent)]
    topic = flow.shop.settings.topic(EVENTS)
    await producer.send_all(topic, [(visitor.encode(), b"no event", headers)])
    await asyncio.to_thread(producer.close)
    spans = await flow.wait_for(context, "process events", "send events.dlq")
    assert spans["process events"].error == "dead letter"
    assert parents(spans)["send events.dlq"] == "process events"
    [line] = [each for each in flow.processor.log.read_text().splitlines() if context.trace_id in each]
    assert "dead letter" in line
    assert hash_visitor(visitor) in line
    assert visitor not in line


async def test_a_batch_of_many_is_followed_for_its_first(flow: Flow) -> None:
    context, visitor = new_context(), f"v-{uuid4().hex[:12]}"
    assert flow.post(context, *(view(visitor) for _ in range(40))).status_code == 202
    await flow.wait_for(context, "process events")

    async def check_count() -> None:
        names = [span.name for span in flow.collector.trace(context.trace_id)]
        assert sum(name.startswith("process") and name.endswith("events") for name in names) == 16

    await eventually(check_count)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{0,33}-[0-9a-f]{0,17}-[0-9a-f]{0,3}", fullmatch=True),
    )
)
def test_no_traceparent_breaks_an_event(flow: Flow, header: str) -> None:
    answer = flow.ingest.http.post(
        "/v1/events",
        json={"events": [view("somebody")]},
        headers={TRACEPARENT: header, TRACESTATE: header},
    )
    assert answer.status_code == 202


def test_a_collector_that_is_away_costs_spans_and_no_event_and_is_told_of_once(
    flow: Flow, tmp_path: Path
) -> None:
    away = {"EDDY_TRACE_SHARE": "1", "EDDY_TRACE_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}
    warning = "the collector of traces does not take spans"
    with run_service("ingest", flow.shop.settings, tmp_path / "log", environment=away) as ingest:
        for _ in range(3):
            events = [view("a-visitor-in-the-dark") for _ in range(10)]
            assert ingest.http.post("/v1/events", json={"events": events}).json()["accepted"] == 10
            wait_until(lambda: warning in ingest.log.read_text())
        ingest.process.terminate()
        ingest.process.wait(20)
    lines = ingest.log.read_text()
    assert lines.count(warning) == 1
    assert "Traceback" not in lines
