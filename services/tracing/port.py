"""What services know of tracing: spans that are there or None, and who begins them. Imports no library.

`None` stands for what is not recorded, so whoever is not traced pays for one look at a variable.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Final, Protocol

from schemas.traces import TraceContext

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Kind(Enum):
    """OpenTelemetry's kinds of spans."""

    INTERNAL = auto()
    SERVER = auto()
    CLIENT = auto()
    PRODUCER = auto()
    CONSUMER = auto()


class Span(Protocol):
    """Something that takes time, and is recorded once it ends."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def traceparent(self) -> str:
        """What others are to follow."""

    def child(self, name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> "Span":
        """A part of it that begins now."""

    def set(self, attributes: Attributes) -> None:
        """What is known of it."""

    def fail(self, reason: str) -> None:
        """It did not do what it was to do."""

    def end(self) -> None:
        """It is over."""


class Tracer(Protocol):
    """Begins spans, where they are to be recorded."""

    @property
    def is_on(self) -> bool:
        """Whether anything may be recorded."""

    def begin(self, name: str, kind: Kind, parent: TraceContext | None) -> Span | None:
        """A span at the edge: of the caller's trace where there is one, which says whether it is recorded;
        else of a new one, with the share's chance."""

    def follow(self, name: str, kind: Kind, traceparent: str | bytes | None) -> Span | None:
        """A span of a trace that is being recorded; None without one."""

    def record_page(self, page: TraceContext, name: str, began_ms: float, ended_ms: float) -> None:
        """The page's own span, which it cannot send by itself (Unix ms)."""

    def close(self) -> None:
        """Sends what is left, or gives it up. Blocks for a second or two."""


class NullTracer:
    """Nothing is recorded."""

    is_on: Final = False

    def begin(self, _name: str, _kind: Kind, _parent: TraceContext | None) -> Span | None:
        """None."""
        return None

    def follow(self, _name: str, _kind: Kind, _traceparent: str | bytes | None) -> Span | None:
        """None."""
        return None

    def record_page(self, _page: TraceContext, _name: str, _began_ms: float, _ended_ms: float) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


NULL_TRACER: Final = NullTracer()

_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """What the running code is part of, also in its log lines."""
    return _current.get()


@contextmanager
def use(span: Span | None) -> Iterator[None]:
    """The code within is part of the span, which goes on afterwards."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def run(span: Span | None) -> Iterator[None]:
    """The code within is the span: it fails with it, and ends with it."""
    if span is None:
        yield
        return
    try:
        with use(span):
            yield
    except BaseException as error:
        span.fail(type(error).__name__)  # its text may quote what somebody sent
        raise
    finally:
        span.end()


def begin_child(name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span | None:
    """A part of what the running code belongs to, where that is traced."""
    span = _current.get()
    return None if span is None else span.child(name, kind, attributes)


def end_after(span: Span, then: Callable[[], object]) -> Callable[[], object]:
    """Does it, and then the span is over."""

    def do() -> None:
        then()
        span.end()

    return do
