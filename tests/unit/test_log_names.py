"""Lines about one event name it, its trace and its visitor, and never the visitor's id."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from schemas import events, sessions
from schemas.sessions import Session
from schemas.topics import PRODUCTS
from schemas.traces import TRACEPARENT
from services.kafka.messages import EVENT, PRODUCT, SESSION, MessageReader
from services.kafka.ranges import MessageHeaders
from services.logging import hash_visitor
from services.session_processor.table import read_entry
from services.tracing.otel import OpenTelemetryTracer
from services.tracing.port import Kind, use
from tests.support.collector import run_collector
from tests.support.session_worker import Broker, Data, Worker
from tests.support.sessions import event

VISITOR, OTHER = "alice.of-shoes", "bob:of-lamps"
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADER = f"00-{TRACE}-b7ad6b7169203331-01".encode()


def message(key: str, value: bytes, headers: MessageHeaders | None = None) -> Any:
    return SimpleNamespace(
        key=key.encode,
        value=lambda: value,
        headers=lambda: headers or [],
        topic=lambda: "topic",
        partition=lambda: 0,
        offset=lambda: 7,
        timestamp=lambda: (1, 1_000),
    )


def test_a_visitors_hash_is_the_same_for_text_and_key_and_says_nothing_of_the_id() -> None:
    assert hash_visitor(VISITOR) == hash_visitor(VISITOR.encode())
    assert len(hash_visitor(VISITOR)) == 16
    assert hash_visitor(VISITOR) != hash_visitor(OTHER)


async def test_a_dead_letter_is_logged_with_its_event_and_a_hash_of_its_visitor() -> None:
    said = msgspec.structs.replace(event(1, 1_700_000_000_000, "p1"), visitor_id=VISITOR)
    worker = Worker(Data(), Broker())
    with capture_logs() as logged:
        worker.take_raw(OTHER.encode(), events.encode(said))
        worker.take_raw(VISITOR.encode(), b'{"event_id": "no id \\u001b[31m"}')
        worker.take_raw(VISITOR.encode(), b"\xff")
    assert [each["event"] for each in logged] == ["dead letter"] * 3
    assert logged[0]["event_id"] == said.event_id
    assert [each["visitor"] for each in logged] == [hash_visitor(OTHER), *[hash_visitor(VISITOR)] * 2]
    assert ["event_id" in each for each in logged] == [True, False, False]
    assert VISITOR not in str(logged)
    assert OTHER not in str(logged)
    assert VISITOR.encode() in (worker.broker.sent[0][2] or b"")  # the letter has all of it
    assert VISITOR in str(worker.broker.headers[0]["reason"])


@pytest.mark.parametrize("kind", [EVENT, SESSION], ids=["events", "sessions"])
def test_a_message_that_cannot_be_read_names_visitor_event_and_trace(kind: Any) -> None:
    said = msgspec.structs.replace(event(1, 1_700_000_000_000, "p1"), visitor_id=VISITOR)
    value = events.encode(said) if kind is EVENT else sessions.encode(Session(VISITOR))
    headers: MessageHeaders = [(sessions.CAUSED_BY, said.event_id.encode()), (TRACEPARENT, HEADER)]
    with capture_logs() as logged:
        assert MessageReader().read(kind, message(OTHER, value, headers)) is None
    [line] = logged
    assert (line["visitor"], line["event_id"], line["trace_id"]) == (
        hash_visitor(OTHER),
        said.event_id,
        TRACE,
    )
    assert line["reason"] == "the message's key is not its visitor_id"
    assert VISITOR not in str(line)
    assert OTHER not in str(line)


def test_a_message_that_is_about_no_visitor_names_none() -> None:
    with capture_logs() as logged:
        assert MessageReader().read(PRODUCT, message("p1", b"{")) is None
    [line] = logged
    assert PRODUCTS.key == "product_id"
    assert {"visitor", "event_id", "trace_id"}.isdisjoint(line)


def test_a_stored_session_that_cannot_be_read_is_its_visitors() -> None:
    with capture_logs() as logged:
        assert read_entry(VISITOR.encode(), b"\xff") is None
    assert logged[0]["visitor"] == hash_visitor(VISITOR)
    assert VISITOR not in str(logged)


def test_a_line_that_is_written_within_a_span_names_its_trace() -> None:
    from services.logging import _name_trace  # noqa: PLC0415

    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-test", share=1, url=collector.url, tenant="default")
        span = tracer.begin("a", Kind.SERVER, None)
        assert span is not None
        with use(span):
            line = _name_trace(None, "info", {"event": "a"})
        assert cast(str, line["trace_id"]) == span.trace_id
        assert "trace_id" not in _name_trace(None, "info", {"event": "a"})
        tracer.close()
