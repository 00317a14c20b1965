"""Which tracer a service has: by its settings, and without OpenTelemetry's SDK where that is none."""

from services.settings import ServiceSettings
from services.tracing.port import NULL_TRACER, Tracer


def create_tracer(settings: ServiceSettings, service: str) -> Tracer:
    """Call it in the process that serves: the tracer has a thread."""
    if not settings.trace_share:
        return NULL_TRACER
    from services.tracing.otel import OpenTelemetryTracer  # noqa: PLC0415 - 0.2 s, and nobody's unless it is on

    return OpenTelemetryTracer(
        f"eddy-{service.replace('_', '-')}",
        share=settings.trace_share,
        url=settings.trace_url,
        tenant=settings.topic_prefix.rstrip("._-") or "default",
    )
