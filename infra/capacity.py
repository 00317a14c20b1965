"""Writes what more clicks, products and pages would need, reckoned from what was measured on one machine."""

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

from services.trainer.lambdarank import LambdaRank
from services.trainer.skipgram import SkipGram

Json = dict[str, Any]

FULL: Final = 0.6  # of a core: above that, waiting times grow faster than the load
RATES: Final = (1_000, 10_000, 100_000)  # events a second
PRODUCTS: Final = (100_000, 1_000_000, 100_000_000)
PAGES: Final = (10_000, 100_000, 1_000_000)
EVENTS: Final = (10_000_000, 1_000_000_000)  # to learn from
SERVICES: Final = ("ingest", "session_processor", "recommender", "kafka")
GB: Final = 1_000


def cpu_ms(window: Json, name: str) -> float:
    """Of a process, for each event of a window of load."""
    return float(1000 * window["cores"][name] * window["seconds"] / window["sent"])


def lines(live: Json, scale: Json, sockets: Json, training: list[Json], tenants: Json) -> Iterator[str]:
    """The block of infra/docs/capacity.md."""
    yield from (*_cores(live), "", *_products(scale), "", *_pages(sockets), "", *_tenants(tenants), "")
    yield from _training(training)


def _cores(live: Json) -> Iterator[str]:
    held = [each for each in live["windows"] if each["rate"] in live["held"]] or live["windows"][:1]
    window = held[-1]
    machine = live["machine"]
    ms = {name: cpu_ms(window, name) for name in SERVICES}
    costs = ", ".join(f"{ms[name]:.1f} ms in {_title(name)}" for name in SERVICES)
    yield (
        f"At {window['rate']:,} events/s ({machine['cores']} cores, {machine['cpu']}; each event moves a "
        f"page that is open) an event costs {costs}. With cores that are busy for {FULL:.0%} of the time at "
        "most that makes, in cores:"
    )
    yield ""
    yield f"| events/s | {' | '.join(_title(name) for name in SERVICES)} |"
    yield "|---" * (len(SERVICES) + 1) + "|"
    for rate in RATES:
        cores = (ceil(rate * ms[name] / 1000 / FULL) for name in SERVICES)
        yield f"| {rate:,} | {' | '.join(f'{each:,}' for each in cores)} |"


def _products(scale: Json) -> Iterator[str]:
    kb = 1000 * scale["mb"] / scale["products"]
    yield (
        f"{scale['products']:,} products take {scale['mb'] / GB:.1f} GB in a recommender with the index "
        f"in its own process, {kb:.0f} KB each; it is ready after {scale['ready_s']:.0f} s, and after a "
        f"restart, from its copy, after {scale['ready_again_s']:.0f} s. Similar products at "
        f"{scale['asked_a_second']:.0f} requests/s: p50 {scale['similar_ms']['p50']:.1f}, "
        f"p99 {scale['similar_ms']['p99']:.1f} ms; what is "
        f"sold out is gone from an open page after p50 {scale['sold_out_ms']['p50']:.0f}, "
        f"p99 {scale['sold_out_ms']['p99']:.0f} ms. Reckoned, each recommender needs:"
    )
    yield ""
    yield "| products | memory |"
    yield "|---|---|"
    for count in PRODUCTS:
        yield f"| {count:,} | {count * kb / 1e6:,.0f} GB |"


def _pages(sockets: Json) -> Iterator[str]:
    after, kb = sockets["after_kill"], sockets["kb_a_page"]
    yield (
        f"{sockets['pages']:,} open pages take {kb:.0f} KB each; {sockets['opened_a_second']:,} open a "
        f"second ({sockets['rows_a_second']:,} with their first row). After kill -9 all have a row again "
        f"{after['back_s']:.0f} s later, {after['back_s_after_ready']:.0f} s after the recommender is ready."
    )
    yield ""
    yield "| open pages | memory of all recommenders | a restart of one that has them all: seconds to a row |"
    yield "|---|---|---|"
    for count in PAGES:
        seconds = after["ready_s"] + count / sockets["rows_a_second"]
        yield f"| {count:,} | {count * kb / 1e6:,.1f} GB | {seconds:,.0f} |"


def _tenants(tenants: Json) -> Iterator[str]:
    words = []
    for service in ("ingest", "recommender"):
        first, *_, last = tenants[service]
        more = last["tenants"] - first["tenants"]
        mb, threads = (last["mb"] - first["mb"]) / more, (last["threads"] - first["threads"]) / more
        words.append(f"{mb:.0f} MB and {threads:.0f} threads in the {service}")
    yield (
        f"Where one process serves several shops, each further one of {tenants['products']:,} products takes "
        f"{' and '.join(words)}, beside the whole of a process of its own (the first row):"
    )
    yield ""
    yield "| shops in it | ingest, MB | its threads | recommender, MB | its threads |"
    yield "|---" * 5 + "|"
    for ingest, recommender in zip(tenants["ingest"], tenants["recommender"], strict=True):
        yield (
            f"| {ingest['tenants']} | {ingest['mb']:.0f} | {ingest['threads']} | {recommender['mb']:.0f} "
            f"| {recommender['threads']} |"
        )


def _training(training: list[Json]) -> Iterator[str]:
    last, reads = training[-1], SkipGram()
    yield (
        f"Learning from {last['events']:,} events of {last['products']:,} products takes "
        f"{last['seconds']:,.0f} s, {last['microseconds_an_event']:,.0f} µs an event, and "
        f"{last['mb']:,.0f} MB, most of it cases of the re-ranker, of which there are {LambdaRank().cases:,} "
        "at most. Nearly all of the time is item2vec's, which reads large corpora fewer times. Reckoned, on "
        "the same cores:"
    )
    yield ""
    yield "| events | read so many times | hours |"
    yield "|---|---|---|"
    for count in EVENTS:
        epochs = reads.epochs_for(count)
        hours = count * last["microseconds_an_event"] * epochs / last["epochs"] / 3.6e9
        yield f"| {count:,} | {epochs} | {hours:,.1f} |"


def _title(name: str) -> str:
    return {"kafka": "Kafka"}.get(name, name.replace("_", " "))
