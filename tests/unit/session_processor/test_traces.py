"""What the processor follows of a trace, and that nothing in the header `traceparent` breaks an event."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import events
from schemas.traces import TRACEPARENT, parse
from services.clock import now_ms
from services.session_processor.processor import TRACE_MAX_MS
from services.tracing.otel import OpenTelemetryTracer
from tests.support.collector import Collector, run_collector
from tests.support.session_worker import Broker, Data, Worker
from tests.support.sessions import event

VISITOR = "v"
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADER = f"00-{TRACE}-b7ad6b7169203331-01".encode()


class Traced(NamedTuple):
    tracer: OpenTelemetryTracer
    collector: Collector


@pytest.fixture(scope="module")
def trace() -> Iterator[Traced]:
    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-test", share=1e-12, url=collector.url, tenant="default")
        yield Traced(tracer, collector)
        tracer.close()


def take(worker: Worker, number: int, header: bytes | None, *, sent_at: int | None = None) -> None:
    now = int(now_ms())
    said = msgspec.structs.replace(event(number, now - 1_000, "p1"), visitor_id=VISITOR)
    headers: list[tuple[str, bytes | None]] = [(TRACEPARENT, header)]
    worker.take_raw(VISITOR.encode(), events.encode(said), headers, sent_at=sent_at or now)


async def test_a_session_carries_the_trace_of_its_event_and_the_changelog_none(trace: Traced) -> None:
    worker = Worker(Data(), Broker(), tracer=trace.tracer)
    take(worker, 1, HEADER)
    await worker.broker.acknowledge()
    trace.tracer.flush()
    spans = {each.name: each for each in trace.collector.trace(TRACE)}
    sent = dict(zip((topic for topic, _, _ in worker.broker.sent), worker.broker.headers, strict=True))
    followed = parse(sent["sessions"][TRACEPARENT])
    assert followed is not None
    assert (followed.trace_id, followed.span_id) == (TRACE, spans["send sessions"].span_id)
    assert TRACEPARENT not in sent["changelog"]
    assert spans["process events"].ended_ms >= spans["send sessions"].began_ms
    assert spans["send sessions"].parent_id == spans["process events"].span_id


async def test_a_span_ends_only_when_the_broker_has_what_the_event_caused(trace: Traced) -> None:
    trace_id = TRACE[::-1]
    worker = Worker(Data(), Broker(), tracer=trace.tracer)
    take(worker, 1, f"00-{trace_id}-b7ad6b7169203331-01".encode())
    trace.tracer.flush()
    assert {each.name for each in trace.collector.trace(trace_id)} == {"fold"}
    await worker.broker.acknowledge()
    trace.tracer.flush()
    assert {"process events", "send sessions"} <= {each.name for each in trace.collector.trace(trace_id)}


async def test_what_was_sent_long_ago_is_not_followed(trace: Traced) -> None:
    worker = Worker(Data(), Broker(), tracer=trace.tracer)
    take(worker, 1, HEADER, sent_at=int(now_ms()) - TRACE_MAX_MS - 1_000)
    assert all(TRACEPARENT not in headers for headers in worker.broker.headers)


async def test_where_tracing_is_off_no_header_goes_on() -> None:
    worker = Worker(Data(), Broker())
    take(worker, 1, HEADER)
    assert all(TRACEPARENT not in headers for headers in worker.broker.headers)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.none(), st.binary(max_size=80), st.from_regex(rb"[0-9a-f-]{0,60}", fullmatch=True)))
def test_no_header_breaks_an_event(trace: Traced, header: bytes | None) -> None:
    async def fold() -> None:
        worker = Worker(Data(), Broker(), tracer=trace.tracer)
        take(worker, 1, header)
        await worker.broker.acknowledge()
        assert worker.acknowledged == 1
        assert [topic for topic, _, _ in worker.broker.sent] == ["changelog", "sessions"]

    asyncio.run(fold())
