"""What traces cost: CPU time of an event in all three services, without, with 1 % and with all of them.

Three sets of the same services stand on one broker, each with topics of its own, and take turns: what else
happens on the machine meets all of them. Each figure is the median of its rounds; `of_off` is how much more
than without traces, from the medians, and `spread` how far the rounds of one set lie apart: what a difference
is worth. Beside it the spans of one event by themselves, which is exact where the machine is busy.
The collector takes spans and does not look at them.

A process of its own, since it starts others: `python -m tests.benchmark.traces --rounds 6`.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from statistics import median
from time import process_time
from typing import Annotated, Final
from uuid import uuid4

import msgspec
import psutil
import typer

from schemas.traces import TRACEPARENT, TRACESTATE
from services.clock import now_ms
from services.kafka.admin import create
from services.ops.settings import OpsSettings
from services.tracing.messages import begin_send, follow_message
from services.tracing.otel import OpenTelemetryTracer
from services.tracing.port import Kind, Tracer, begin_child, run
from tests.benchmark import standin_vectors
from tests.benchmark.brokers import broker
from tests.benchmark.load import Load
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.system import products_of
from tests.benchmark.usage import cpu_s
from tests.support.collector import CollectedSpan, Collector, run_collector
from tests.support.patience import patiently
from tests.support.services import RunningService, run_service
from tests.support.shop import FOR_YOU, Shop, open_shop

SHARES: Final[Mapping[str, str]] = {"off": "0", "one": "0.01", "all": "1"}
FLOW: Final = ("ingest", "session_processor", "recommender")
PAGES: Final = 100
WARM_UP_S: Final = 5.0
CLICKS: Final = 12
EVENTS: Final = 3_000  # whose spans are made alone


class TracedFigures(msgspec.Struct, frozen=True):
    """CPU ms an event by round, their median, and how much more that is than without traces (0.01: 1 %)."""

    share: float
    rounds: list[float]
    cpu_ms: float
    spread: float
    of_off: float
    spans: int
    pushes: int


class SpanFigures(msgspec.Struct, frozen=True):
    """CPU ms of what is done for one event in all services, by itself: recorded and sent, or not recorded."""

    all_ms: float
    none_ms: float


class TracesFigures(msgspec.Struct, frozen=True):
    """All three, at one rate."""

    machine: Machine
    rate: int
    seconds: float
    spans: SpanFigures
    figures: dict[str, TracedFigures]


class Flow:
    """One set of services, and what their events have cost."""

    def __init__(self, load: Load, processes: list[psutil.Process], collector: Collector) -> None:
        self.load = load
        self.collector = collector
        self.rounds: list[float] = []
        self.pushes = 0
        self._processes = processes

    async def round(self, rate: int, seconds: float) -> float:
        """One window; CPU ms an event."""
        before = sum(map(cpu_s, self._processes))
        recording = await self.load.run(rate, seconds, lambda _done: None)
        self.pushes += len(recording.pushes)
        return (sum(map(cpu_s, self._processes)) - before) * 1000 / len(recording.events)


def measure(rate: int, seconds: float, rounds: int, tell: Callable[[str], object]) -> TracesFigures:
    """All of it over a broker of its own."""
    machine, spans = this_machine(), _measure_spans()
    tell(f"the spans of one event alone: {spans.all_ms} ms, not recorded {spans.none_ms} ms")
    if not rounds:
        return TracesFigures(machine, rate, seconds, spans, {})
    with ExitStack() as started, tempfile.TemporaryDirectory() as folder:
        running = started.enter_context(broker())
        flows = {
            name: started.enter_context(_flow(running.bootstrap, name, share, Path(folder) / name))
            for name, share in SHARES.items()
        }
        asyncio.run(_take_turns(flows, rate, seconds, rounds, tell))
        off = median(flows["off"].rounds)
        found = {name: _figures(flow, float(SHARES[name]), off) for name, flow in flows.items()}
    return TracesFigures(machine, rate, seconds, spans, found)


def _measure_spans() -> SpanFigures:
    """In this process; the CPU time of all threads, the collector's included."""
    with run_collector() as collector:
        tracer = OpenTelemetryTracer("eddy-bench", share=1, url=collector.url, tenant="default")
        none = OpenTelemetryTracer("eddy-bench", share=1e-12, url=collector.url, tenant="default")
        found = []
        for each in (tracer, none):
            before = process_time()
            for number in range(EVENTS):
                _pass(each)
                if number % 50 == 0:
                    each.flush()  # at full speed the queue would lose most, and what is lost costs nothing
            each.close()
            found.append(round((process_time() - before) * 1000 / EVENTS, 4))
    return SpanFigures(*found)


def _pass(tracer: Tracer) -> None:
    """All that is done for one event in the three services, as they do it."""
    with run(request := tracer.begin("POST /v1/events", Kind.SERVER, None)):
        sent = None if request is None else begin_send(request, "events", "an event's id")
    headers = {} if sent is None else {TRACEPARENT: sent.traceparent.encode()}
    event = follow_message(tracer, headers, ("events", 0, 1), written_at=now_ms(), within_ms=60_000)
    with run(event):
        fold, published = begin_child("fold"), None if event is None else begin_send(event, "sessions")
    headers = {} if published is None else {TRACEPARENT: published.traceparent.encode()}
    session = follow_message(tracer, headers, ("sessions", 0, 1), written_at=now_ms(), within_ms=60_000)
    row = None if session is None else session.child("recommend for_you", attributes={"eddy.k": 12})
    with run(row):
        question = begin_child("query products", attributes={"db.system.name": "qdrant"})
    push = None if row is None else row.child("send row")
    for each in (sent, fold, published, session, question, push):
        if each is not None:
            each.end()


def record_click(out: Path, tell: Callable[[str], object]) -> None:
    """The spans of the fastest of some clicks, each by itself, with 60 products and one open page."""
    with ExitStack() as started, tempfile.TemporaryDirectory() as name:
        shop, folder = open_shop(started.enter_context(broker())), Path(name)
        collector = started.enter_context(run_collector())
        environment = {"EDDY_TRACE_SHARE": "1", "EDDY_TRACE_URL": collector.url}
        ingest, _, recommender = (
            started.enter_context(
                run_service(each, shop.settings, folder / f"{each}.log", environment=environment, fresh=True)
            )
            for each in FLOW
        )
        clicks = asyncio.run(_click(shop, ingest, recommender))
        collected = patiently(20)(partial(_complete, collector, clicks))()
        fastest = min(collected, key=lambda spans: max(each.ended_ms for each in spans) - spans[0].began_ms)
        told = [
            {
                "service": each.service,
                "name": each.name.replace(shop.settings.topic_prefix, ""),
                "began_ms": round(each.began_ms - fastest[0].began_ms, 3),
                "ended_ms": round(each.ended_ms - fastest[0].began_ms, 3),
            }
            for each in fastest
        ]
    out.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    took = max(each.ended_ms for each in fastest) - fastest[0].began_ms
    tell(f"{len(told)} spans in {took:.1f} ms: {out}")


def _complete(collector: Collector, clicks: list[str]) -> list[list[CollectedSpan]]:
    found = [collector.trace(each) for each in clicks]
    assert all({"send row", "fold"} <= {span.name for span in spans} for spans in found)
    return found


async def _click(shop: Shop, ingest: RunningService, recommender: RunningService) -> list[str]:
    """The trace ids of some views, each of which has moved the page before the next one comes."""
    traces = []
    async with shop.live(recommender, "a-visitor", FOR_YOU) as live:
        await live.next()
        for number in range(CLICKS):
            trace_id, span_id = token_hex(16), token_hex(8)
            event = {
                "event_id": str(uuid4()),
                "type": "view_item",
                "visitor_id": "a-visitor",
                "product_id": f"p{number}",
                "occurred_at": int(now_ms()),
            }
            headers = {TRACEPARENT: f"00-{trace_id}-{span_id}-01", TRACESTATE: f"eddy={span_id}"}
            answer = await asyncio.to_thread(
                ingest.http.post, "/v1/events", json={"events": [event]}, headers=headers
            )
            answer.raise_for_status()
            await live.push_of(str(event["event_id"]))
            traces.append(trace_id)
    return traces


async def _take_turns(
    flows: Mapping[str, Flow], rate: int, seconds: float, rounds: int, tell: Callable[[str], object]
) -> None:
    for flow in flows.values():
        await flow.load.open(PAGES)
    for flow in flows.values():
        await flow.round(rate, WARM_UP_S)
    for number in range(rounds):
        for name in [*flows][:: 1 if number % 2 else -1]:  # nobody always comes after the dearest
            flows[name].rounds.append(round(await flows[name].round(rate, seconds), 4))
            tell(f"round {number + 1}, {name}: {flows[name].rounds[-1]} ms of CPU an event")
    for flow in flows.values():
        flow.load.close()


def _figures(flow: Flow, share: float, off: float) -> TracedFigures:
    middle = median(flow.rounds)
    spread = (max(flow.rounds) - min(flow.rounds)) / middle
    return TracedFigures(
        share,
        flow.rounds,
        round(middle, 4),
        round(spread, 4),
        round(middle / off - 1, 4),
        flow.collector.count,
        flow.pushes,
    )


@contextmanager
def _flow(bootstrap: str, name: str, share: str, folder: Path) -> Iterator[Flow]:
    folder.mkdir()
    settings = OpsSettings(kafka_bootstrap=bootstrap, topic_prefix=f"{name}.", ops_datadir=folder / "ops")
    create(settings)
    standin_vectors.publish(settings, folder / "catalogue")
    with ExitStack() as started:
        collector = started.enter_context(run_collector())
        environment = {
            "OPENBLAS_NUM_THREADS": "1",
            "EDDY_TRACE_SHARE": share,
            "EDDY_TRACE_URL": collector.url,
            "EDDY_RECOMMENDER_DATADIR": str(folder / "recommender"),
            "EDDY_SESSION_PROCESSOR_DATADIR": str(folder / "faust"),
        }
        services = {
            each: started.enter_context(
                run_service(each, settings, folder / f"{each}.log", environment=environment, fresh=True)
            )
            for each in FLOW
        }
        load = Load(services["ingest"].url, services["recommender"].url, products_of(settings))
        yield Flow(load, [psutil.Process(each.process.pid) for each in services.values()], collector)


def main(
    rate: Annotated[int, typer.Option(help="events a second")] = 300,
    seconds: Annotated[float, typer.Option(help="how long a round is")] = 10.0,
    rounds: Annotated[int, typer.Option(help="of each of the three; 0 for the spans alone")] = 6,
    click: Annotated[Path | None, typer.Option(help="record one click's trace to this file instead")] = None,
) -> None:
    """Prints the figures as JSON."""
    if click is not None:
        record_click(click, lambda what: typer.echo(what, err=True))
        return
    figures = measure(rate, seconds, rounds, lambda what: typer.echo(what, err=True))
    typer.echo(msgspec.json.format(msgspec.json.encode(figures)).decode())


if __name__ == "__main__":
    typer.run(main)
