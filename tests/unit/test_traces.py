"""Trace context is read by W3C's rules, spans by OpenTelemetry's SDK, and off means that nothing is there."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from schemas.traces import TraceContext, is_of_page, parse
from services.settings import ServiceSettings
from services.tracing.otel import Allowance, Exporter, OpenTelemetryTracer
from services.tracing.port import NULL_TRACER, Kind, current_span, run, use
from services.tracing.tracers import create_tracer
from tests.support.collector import run_collector
from tests.support.patience import patiently

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX = "0123456789abcdef"
contexts = st.builds(
    TraceContext,
    st.text(HEX, min_size=32, max_size=32).filter(lambda each: each.strip("0")),
    st.text(HEX, min_size=16, max_size=16).filter(lambda each: each.strip("0")),
    st.booleans(),
)


@given(contexts)
def test_what_is_written_is_read(context: TraceContext) -> None:
    assert parse(context.traceparent) == parse(context.traceparent.encode()) == context


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300), st.none()))
def test_no_bytes_break_the_reader(header: bytes | str | None) -> None:
    found = parse(header)
    assert found is None or (len(found.trace_id), len(found.span_id)) == (32, 16)


@pytest.mark.parametrize(
    "header",
    [
        f"ff-{TRACE}-{SPAN}-01",  # no version
        f"00-{TRACE}-{SPAN}-01-more",  # today's version has no more
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
        f"01-{TRACE}-{SPAN}-01-{'x' * 300}",
    ],
)
def test_what_w3c_calls_invalid_is_none(header: str) -> None:
    assert parse(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse(f"01-{TRACE}-{SPAN}-03-what.comes") == TraceContext(TRACE, SPAN, True)


def test_the_page_names_the_span_that_it_has_made_up() -> None:
    context = TraceContext(TRACE, SPAN, True)
    assert is_of_page(context, f"congo=t61, eddy={SPAN}")
    assert not is_of_page(context, f"eddy={SPAN[::-1]}")
    assert not is_of_page(context, None)


def test_off_loads_nothing_of_the_sdk_and_begins_nothing() -> None:
    assert create_tracer(ServiceSettings(), "ingest") is NULL_TRACER
    assert NULL_TRACER.begin("a", Kind.SERVER, TraceContext(TRACE, SPAN, True)) is None
    assert NULL_TRACER.follow("a", Kind.CONSUMER, f"00-{TRACE}-{SPAN}-01") is None
    asks = (
        "import sys, services.ingest.app, services.session_processor.app, services.recommender.app\n"
        "loaded = [each for each in sys.modules"
        " if each.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'services.tracing.otel'))]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", asks], check=True)


def test_code_within_a_span_is_part_of_it_and_a_failure_is_the_spans() -> None:
    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-test", share=1, url=collector.url, tenant="default")
        span = tracer.begin("all", Kind.SERVER, None)
        assert span is not None

        def fail() -> None:
            with run(span):
                assert current_span() is span
                with use(None):
                    assert current_span() is None
                raise ValueError("of the visitor v")

        with pytest.raises(ValueError, match="of the visitor"):
            fail()
        assert current_span() is None
        tracer.close()
        [found] = collector.spans
    assert (found.error, found.attributes["error.type"]) == ("ValueError", "ValueError")


def test_the_share_decides_where_no_caller_does() -> None:
    with run_collector() as collector:
        none = OpenTelemetryTracer("eddy-test", share=1e-12, url=collector.url, tenant="default")
        sampled, unsampled = TraceContext(TRACE, SPAN, True), TraceContext(TRACE, SPAN, False)
        assert none.begin("a", Kind.SERVER, None) is None
        assert none.begin("a", Kind.SERVER, unsampled) is None
        assert none.begin("a", Kind.SERVER, sampled) is not None
        assert none.follow("a", Kind.CONSUMER, unsampled.traceparent) is None
        assert none.follow("a", Kind.CONSUMER, b"\xff\xfe") is None
        found = none.follow("a", Kind.CONSUMER, sampled.traceparent)
        assert found is not None
        assert found.trace_id == TRACE
        none.close()


def test_pages_cannot_ask_for_more_traces_than_are_allowed() -> None:
    now = 0.0
    allowance = Allowance(20.0, lambda: now)
    assert [allowance.take() for _ in range(21)].count(True) == 20
    now = 0.1
    assert [allowance.take() for _ in range(21)].count(True) == 2


def test_a_pages_span_has_the_ids_that_the_page_has_made_up() -> None:
    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-test", share=1, url=collector.url, tenant="default")
        tracer.record_page(TraceContext(TRACE, SPAN, True), "select_item", 2_000.0, 1_000.0)
        tracer.close()
        [found] = collector.spans
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, SPAN, None)
    assert (found.service, found.name, found.began_ms, found.ended_ms) == (
        "storefront", "select_item", 1_000.0, 1_000.0,
    )  # fmt: skip


class _Collector(SpanExporter):
    def __init__(self) -> None:
        self.is_there = False

    def export(self, _spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.is_there else SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    inner = _Collector()
    exporter = Exporter(inner, "http://user:secret@collector:4318/v1/traces")
    spans: list[ReadableSpan] = []
    for is_there in (False, False, True, True, False):
        inner.is_there = is_there
        exporter.export(spans)
    lines = capsys.readouterr().out.splitlines()
    assert [("takes spans again" in line, "secret" in line) for line in lines] == [
        (False, False), (True, False), (False, False),
    ]  # fmt: skip


def test_spans_for_a_port_where_nobody_listens_are_lost_and_hold_nobody_up() -> None:
    before = {*threading.enumerate()}
    tracer = OpenTelemetryTracer("eddy-test", share=1, url="http://127.0.0.1:9", tenant="default")
    for _ in range(10_000):
        span = tracer.begin("a", Kind.SERVER, None)
        assert span is not None
        span.end()
    others = {*threading.enumerate()} - before
    tracer.close()
    assert others
    assert not others & {*threading.enumerate()}


def test_spans_come_in_batches_while_the_service_runs() -> None:
    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-test", share=1, url=f"{collector.url}/v1/traces", tenant="acme")
        for _ in range(100):
            span = tracer.begin("a", Kind.SERVER, None)
            assert span is not None
            span.child("b", attributes={"n": 1}).end()
            span.end()

        @patiently(10)
        def all_came() -> None:
            assert len(collector.spans) == 200

        all_came()
        assert collector.requests < 20
        assert {(each.service, each.resource["eddy.tenant"]) for each in collector.spans} == {
            ("eddy-test", "acme")
        }
        tracer.close()
