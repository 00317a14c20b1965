"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP in batches from a thread of its own.

Imported only where tracing is on: see `tracers.create_tracer`.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import requests
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from schemas.traces import TraceContext, parse
from services.tracing.port import Attributes, Kind, Span

log = structlog.get_logger()

SCOPE: Final = "eddy"
PAGE: Final = "storefront"  # the service whose spans ingest records
BATCH_MS: Final = 1_000.0  # between two requests to the collector
QUEUE_MAX: Final = 4_096  # spans, some 3 KB each; beyond it the oldest are lost
SEND_WITHIN_S: Final = 2.0  # of the thread's time, nobody waits for it
CLOSE_WITHIN_S: Final = 1.5
# A page says itself whether its trace is recorded, and everybody can say what a page says.
PAGES_A_S: Final = 20.0
TEXT_MAX: Final = 256  # characters of an attribute

_KINDS: Final = {each: SpanKind[each.name] for each in Kind}


class OpenTelemetryTracer:
    """Begins spans of one service. Who decides is the edge: all others follow what they are told."""

    is_on: Final = True

    def __init__(
        self,
        service: str,
        *,
        share: float,
        url: str,
        tenant: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`share` of the traces that begin here are recorded; `clock` is in s."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # one warning is ours: see Exporter
        self._share = share
        self._allowance = Allowance(PAGES_A_S, clock)
        self._exporter = Exporter(otlp_exporter(url), url)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=QUEUE_MAX,
            schedule_delay_millis=BATCH_MS,
            max_export_batch_size=512,
        )
        attributes = {
            "service.namespace": "eddy",
            "service.instance.id": uuid4().hex,
            "eddy.tenant": tenant,
        }
        self._provider = self._create_provider(attributes | {"service.name": service}, RandomIdGenerator())
        self._tracer = self._provider.get_tracer(SCOPE)
        self._page_ids = GivenIds()
        pages = self._create_provider(attributes | {"service.name": PAGE}, self._page_ids)
        self._page_tracer = pages.get_tracer(SCOPE)

    def _create_provider(self, attributes: dict[str, str], ids: RandomIdGenerator) -> TracerProvider:
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not recorded does not come this far
            resource=Resource.create(attributes),
            shutdown_on_exit=False,
            id_generator=ids,
            span_limits=SpanLimits(max_attribute_length=TEXT_MAX),
        )
        provider.add_span_processor(self._processor)
        return provider

    def begin(self, name: str, kind: Kind, parent: TraceContext | None) -> Span | None:
        """See the port. A caller's own wish counts so many times a second, then the share decides."""
        if parent is None:
            return self._start(name, kind, None) if random.random() < self._share else None
        if not parent.sampled:
            return None
        if self._allowance.take() or random.random() < self._share:
            return self._start(name, kind, parent)
        return None

    def follow(self, name: str, kind: Kind, traceparent: str | bytes | None) -> Span | None:
        """See the port."""
        parent = parse(traceparent)
        return self._start(name, kind, parent) if parent is not None and parent.sampled else None

    def _start(self, name: str, kind: Kind, parent: TraceContext | None) -> Span:
        context = None
        if parent is not None:
            remote = SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(TraceFlags.SAMPLED)
            )
            context = trace.set_span_in_context(NonRecordingSpan(remote), Context())
        span = self._tracer.start_span(name, context or Context(), _KINDS[kind])
        return OpenTelemetrySpan(self._tracer, span)

    def record_page(self, page: TraceContext, name: str, began_ms: float, ended_ms: float) -> None:
        """See the port. A page's clock may be ahead: then its span takes no time."""
        self._page_ids.give(page)
        ended = int(ended_ms * 1e6)
        began = min(int(began_ms * 1e6), ended)
        span = self._page_tracer.start_span(name, Context(), SpanKind.CLIENT, start_time=began)
        span.end(ended)

    def flush(self) -> None:
        """Sends what has ended, and waits for that."""
        self._processor.force_flush()

    def close(self) -> None:
        """See the port. The SDK's own way waits for half a minute."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)
        if closing.is_alive():  # a collector that is away: what is left is lost, and not tried again
            self._exporter.shutdown()
            closing.join(CLOSE_WITHIN_S)


class OpenTelemetrySpan:
    """A span that is recorded."""

    __slots__ = ("_span", "_tracer", "trace_id", "traceparent")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01"

    def child(self, name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span:
        """See the port."""
        within = trace.set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, within, _KINDS[kind], attributes)
        return OpenTelemetrySpan(self._tracer, span)

    def set(self, attributes: Attributes) -> None:
        """See the port."""
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """See the port."""
        self._span.set_status(trace.StatusCode.ERROR, reason[:TEXT_MAX])
        self._span.set_attribute("error.type", reason[:TEXT_MAX])

    def end(self) -> None:
        """See the port."""
        self._span.end()


class GivenIds(RandomIdGenerator):
    """The ids that the page has made up for its span."""

    def __init__(self) -> None:
        self._next = TraceContext("", "", sampled=True)

    def give(self, context: TraceContext) -> None:
        """Of the span that is started next."""
        self._next = context

    def generate_trace_id(self) -> int:
        """The page's."""
        return int(self._next.trace_id, 16)

    def generate_span_id(self) -> int:
        """The page's."""
        return int(self._next.span_id, 16)


class Allowance:
    """So many a second, and as many at once."""

    def __init__(self, a_second: float, clock: Callable[[], float]) -> None:
        self._a_second = a_second
        self._clock = clock
        self._left = a_second
        self._at = clock()

    def take(self) -> bool:
        """Whether one more is allowed."""
        now = self._clock()
        self._left = min(self._a_second, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Exporter(SpanExporter):
    """Sends spans, and says once when that fails, once when it succeeds again."""

    def __init__(self, inner: SpanExporter, url: str) -> None:
        self._inner = inner
        parts = urlsplit(url)
        self._place = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the SDK's thread. What fails is lost."""
        result = self._inner.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning("the collector of traces does not take spans, which are lost", url=self._place)
        elif self._is_away and not is_away:
            log.info("the collector of traces takes spans again", url=self._place)
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Ends what waits to be tried again."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._inner.force_flush(timeout_millis)


def otlp_exporter(url: str) -> OTLPSpanExporter:
    """To the collector, past any proxy. An address without a path gets the one that collectors listen on."""
    session = requests.Session()
    session.trust_env = False
    whole = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1/traces"
    return OTLPSpanExporter(endpoint=whole, timeout=SEND_WITHIN_S, session=session)
