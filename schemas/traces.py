"""Trace context as it travels: W3C's `traceparent`, in HTTP requests, Kafka headers and live messages.

https://www.w3.org/TR/trace-context/ has the form. What is malformed is as good as absent: no event is refused
for it, and none is changed.
"""

import re
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"  # header of HTTP and of Kafka; field of a live message
TRACESTATE: Final = "tracestate"
# In `tracestate`: the span id that tracker.js has made up for the page. Nobody else exports that span.
PAGE_SPAN: Final = "eddy"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_LENGTH_MAX: Final = 256  # of a version to come; today's has 55 characters
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """Which trace and span something belongs to, in lower-case hexadecimal, and whether it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse(header: str | bytes | None) -> TraceContext | None:
    """What a `traceparent` says; None for what is none. Raises nothing, whatever the bytes are."""
    if not header or len(header) > _LENGTH_MAX:
        return None
    if isinstance(header, bytes):
        try:
            header = header.decode("ascii")
        except UnicodeDecodeError:
            return None
    found = _FORM.fullmatch(header)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def is_of_page(context: TraceContext, tracestate: str | None) -> bool:
    """Whether tracker.js has made the context up, so that the page's span is still to be recorded.

    A page with an OpenTelemetry of its own replaces `traceparent`, and then records its span itself.
    """
    members = (tracestate or "")[:512].split(",")
    return f"{PAGE_SPAN}={context.span_id}" in {each.strip() for each in members}
