"""An OTLP/HTTP collector in this process: takes spans as Jaeger and Tempo do, and shows what came."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Value = str | int | float | bool


@dataclass(frozen=True)
class CollectedSpan:
    """One span, with ids in hexadecimal and times in Unix ms; `error` is None where all went well."""

    trace_id: str
    span_id: str
    parent_id: str | None
    service: str
    name: str
    kind: str
    began_ms: float
    ended_ms: float
    attributes: dict[str, Value]
    resource: dict[str, Value]
    error: str | None


class Collector:
    """What came, decoded when somebody looks."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[bytes] = []

    @property
    def requests(self) -> int:
        """How often spans were sent."""
        return len(self.bodies)

    @property
    def spans(self) -> list[CollectedSpan]:
        """All spans, the earliest first."""
        found = [span for body in list(self.bodies) for span in _decode(body)]
        return sorted(found, key=lambda span: (span.began_ms, -span.ended_ms))

    @property
    def count(self) -> int:
        """How many spans came."""
        return sum(len(spans) for body in list(self.bodies) for _, spans in _scopes(body))

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


def _scopes(body: bytes) -> Iterator[tuple[dict[str, Value], Sequence[Sent]]]:
    """What a service is, and some of its spans."""
    for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(of_service.resource.attributes)
        for scope in of_service.scope_spans:
            yield resource, scope.spans


def _decode(body: bytes) -> Iterator[CollectedSpan]:
    for resource, spans in _scopes(body):
        for span in spans:
            yield CollectedSpan(
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex() or None,
                str(resource["service.name"]),
                span.name,
                Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                span.start_time_unix_nano / 1e6,
                span.end_time_unix_nano / 1e6,
                _attributes(span.attributes),
                resource,
                span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
            )


def _attributes(found: Iterable[KeyValue]) -> dict[str, Value]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in found}


@contextmanager
def run_collector(port: int = 0) -> Iterator[Collector]:
    """A collector that listens until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collector.bodies.append(body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_port)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
