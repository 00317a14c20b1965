"""Writes the figures of the README and its pages from what was measured last: `python -m infra.figures`.

`infra/docs/measured/` holds the JSON files of `make bench` and `make evaluate` that they speak of.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from infra import accuracy, capacity, curve, faults, surface
from infra.simulation import picture, table
from services.model.content import PROFILES
from services.recommender.api.parameters import WEIGHTS

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "infra" / "docs"
MEASURED: Final = DOCS / "measured"
CURVE: Final = DOCS / "curve.svg"
SIMULATION: Final = DOCS / "simulate.svg"
FAULTS: Final = DOCS / "faults.svg"

AIM: Final = "300"  # events a second
AT_WORK: Final = ("kafka", "ingest", "session_processor", "recommender", "load generator")

Json = dict[str, Any]


def _measured(name: str) -> Json:
    found: Json = json.loads((MEASURED / f"{name}.json").read_text())
    return found


def speed() -> Iterator[str]:
    """How fast everything is."""
    live = _measured("live")
    embedding, history = _measured("embedding"), _measured("history")
    sockets, chaos = _measured("sockets"), _measured("chaos")
    parts = (_live(live), _memory(live), _embedding(embedding), _history(history), _sockets(sockets))
    for part in (*parts, _chaos(chaos)):
        yield from (*part, "")
    yield from surface.lines(*map(_measured, ("search", "pages", "catalogue", "experiment")))


def quality() -> Iterator[str]:
    """How good the recommendations are."""
    yield from accuracy.lines(_measured("accuracy"))


def simulation() -> Iterator[str]:
    """What rows bring of shoppers whose taste is known."""
    yield from table.lines(_measured("simulate"))


def summary() -> Iterator[str]:
    """Four rows for the README: how soon, how good, how well understood, how safe."""
    live, search = _measured("live"), _measured("search")
    understood = search["held_out_right"] / search["held_out"]
    window, bare = live["windows"][0], live["bare"][AIM]
    yield "| | Eddy | beside it |"
    yield "|---|---|---|"
    yield (
        f"| from a click's POST to the push in the client, {live['sockets']} open sockets, {window['rate']} "
        f"events/s, {live['machine']['cores']} cores | {_spread(window['event_to_push'])} "
        f"| two hops of bare Kafka at 300/s: {_spread(bare)} |"
    )
    ours, published = accuracy.best(_measured("accuracy"))
    yield f"| the shopper's next product is among the first 20 (HR@20) | {ours} | {published} |"
    yield (
        f"| a search in words, {search['held_out']} sentences that nothing was tuned on | "
        f"{understood:.1%} understood exactly, {_spread(search['known_ms'])} "
        f"| an empty request: p99 {search['bare_ms']['p99']:.1f} ms |"
    )
    chaos = _measured("chaos")
    yield f"| {_blows(chaos)} | {_left(chaos)} | {_longest(chaos)} |"


def needs() -> Iterator[str]:
    """What more of everything would need."""
    names = ("scale", "sockets", "training", "tenants")
    yield from capacity.lines(_measured("live"), *(_measured(name)["figures"] for name in names))


def traces() -> Iterator[str]:
    """What it costs to record traces."""
    measured = _measured("traces")
    found, machine = measured["figures"], measured["machine"]
    yield "| recorded | CPU ms an event, all three services | its rounds lie apart by | beside no traces |"
    yield "|---" * 4 + "|"
    for each in found.values():
        beside = f"{each['of_off']:+.1%}" if each["share"] else ""
        yield f"| {each['share']:.0%} | {each['cpu_ms']:.2f} | {each['spread']:.0%} | {beside} |"
    yield ""
    alone = measured["spans"]
    yield (
        f"`python -m tests.benchmark.traces`, {measured['rate']} events/s, {machine['cores']} cores, the "
        f"median of {len(found['off']['rounds'])} rounds in turn. By itself an event that is recorded takes "
        f"{alone['all_ms']:.2f} ms in all services, one that is not {alone['none_ms']:.3f} ms."
    )


def cluster() -> Iterator[str]:
    """What faults cost where there are several of everything."""
    yield from faults.lines(_measured("cluster"))


def takeover() -> Iterator[str]:
    """How soon sessions are taken over."""
    taken = _measured("takeover")
    found = taken["figures"]
    yield (
        "`python -m tests.benchmark.takeover` (load average "
        f"{taken['machine']['load']:.0f} before): of two session processors with {found['sessions']:,} "
        f"sessions each one is killed. {found['taken_over_s']:.1f} s after its group took it for dead the "
        "other had its sessions, and all partitions folded events again."
    )


def replication() -> Iterator[str]:
    """What three replicas cost beside one."""
    measured = _measured("replication")
    found, machine = measured["figures"], measured["machine"]
    one, three, ratio = found["one"], found["three"], found["ratio"]
    yield (
        f"`python -m tests.benchmark.replication`: {found['pages']} open pages and one of each service, all "
        f"on {machine['cores']} cores (load average {machine['load']:.0f} before). Of three replicas two "
        "must have what is acknowledged. Two brokers more on the same cores, and what else the machine did, "
        "are part of it. p50 / p99 ms:"
    )
    yield ""
    ways = ("bare Kafka, two hops", "event → push")
    yield f"| events/s | {' | '.join(f'{way}: one broker | three replicas | ratio' for way in ways)} |"
    yield "|---" * 7 + "|"
    for rate in one:
        cells = []
        for way in ("bare", "event_to_push"):
            cells += [_both(one[rate][way]), _both(three[rate][way]), _both(ratio[way][rate], 2)]
        yield f"| {rate} | {' | '.join(cells)} |"


def profiles() -> Iterator[str]:
    """The table of the default weights."""
    head = f"| | {' | '.join(f'`{name}`' for name in WEIGHTS)} |"
    yield from (head, "|---" * (len(WEIGHTS) + 1) + "|")
    for kind, profile in PROFILES.items():
        cells = (f"{profile[name]:g}" if profile.get(name) else "" for name in WEIGHTS)
        yield f"| `{kind}` | {' | '.join(cells)} |"


def _live(live: Json) -> Iterator[str]:
    machine = live["machine"]
    yield (
        f"`make bench` on {machine['cores']} cores ({machine['cpu']}), broker and load generator included: "
        f"event → push, from the POST's first byte to the message in the client, with {live['sockets']} open "
        f"sockets and {live['products']:,} products."
    )
    yield from ("", *_curve(live), "", "![the same as a picture](curve.svg)", "", *_cpu(live), "")
    if live.get("search"):
        yield (
            "Highest rate held for 30 s (every event answered 202, none lost, p99 under 1 s): "
            f"{live['held_rate']:,.0f}/s."
        )
    elif live["held_rate"] < live["windows"][-1]["rate"]:
        last = live["windows"][-1]
        yield (
            f"{last['rate']:,}/s is more than these cores hold: rows were made later and later, by "
            f"{last['growth_ms']:,.0f} ms within {last['seconds']:,.0f} s. No event was lost."
        )


def _curve(live: Json) -> Iterator[str]:
    yield "| events/s | p50 ms | p90 ms | p99 ms | held | bare Kafka, two hops: p50 / p99 ms |"
    yield "|---" * 6 + "|"
    for window in live["windows"]:
        rate, spread, bare = window["rate"], window["event_to_push"], live["bare"][str(window["rate"])]
        yield (
            f"| {rate:,} | {spread['p50']:,.1f} | {spread['p90']:,.1f} | {spread['p99']:,.1f} "
            f"| {'yes' if rate in live['held'] else 'no'} | {bare['p50']:,.1f} / {bare['p99']:,.1f} |"
        )


def _cpu(live: Json) -> Iterator[str]:
    windows = live["windows"]
    rates = [f"{each['rate']:,}/s" for each in windows]
    yield f"| CPU ms an event | {' | '.join(rates)} |"
    yield "|---" * (len(windows) + 1) + "|"
    for name in AT_WORK:
        each_ms = (capacity.cpu_ms(each, name) for each in windows)
        yield f"| {name.replace('_', ' ')} | {' | '.join(f'{ms:.1f}' for ms in each_ms)} |"


def _memory(live: Json) -> Iterator[str]:
    told = ", ".join(f"{name} {megabytes:,.0f}" for name, megabytes in live["loaded_mb"].items())
    yield f"Resident memory after the load, MB: {told}."


def _embedding(embedding: Json) -> Iterator[str]:
    found = embedding["figures"]
    yield (
        f"Embedding: {found['pipeline_products_per_s']:,.0f} products/s from topic to topic, the bare models "
        f"{found['bare_products_per_s']:,.0f}/s in the same run: {found['ratio']:.0%}."
    )


def _history(history: Json) -> Iterator[str]:
    yield (
        f"History: the trainer reads {history['history_events_per_s']:,.0f} events/s off the topic, decoded "
        f"and checked; a bare consumer that decodes nothing {history['bare_events_per_s']:,.0f}/s in the "
        "same run."
    )


def _sockets(sockets: Json) -> Iterator[str]:
    found, load = sockets["figures"], sockets["machine"]["load"]
    again = found["after_kill"]
    yield (
        f"Open pages (`python -m tests.benchmark.sockets --pages {found['pages']}`), each with a row for "
        f"a visitor of {found['clicks']} clicks: {found['kb_a_page']:.1f} KB of the recommender each; opened "
        f"with {found['ms_cpu_an_opening']:.1f} ms of its CPU, the row among that. The recommender had "
        f"{found['recommender_cores']:.1f} of a core (load average {load:.0f} before): "
        f"{found['opened_a_second']:,} pages opened and {found['rows_a_second']:,} rows made a second. "
        f"After kill -9 it was ready in {again['ready_s']:.0f} s, and {again['back_s_after_ready']:.0f} s "
        f"later every page had its row again, for {again['recommender_cpu_s']:.0f} s of CPU in all."
    )


def _chaos(chaos: Json) -> Iterator[str]:
    yield (
        f"Chaos (`python -m tests.benchmark chaos`): {_blows(chaos)}, {chaos['pages']} open pages: "
        f"{_left(chaos)}; {_longest(chaos)}. A click is sent again until it is accepted, as tracker.js does."
    )


def _blows(chaos: Json) -> str:
    kills, stops = (sum(chaos[name].values()) for name in ("kills", "silences"))
    return (
        f"{chaos['seconds'] / 60:.0f} minutes of clicks while every process is killed in turn ({kills} times "
        f"kill -9), broker and workers stand still for 8 s ({stops} times) and "
        f"{sum(chaos['poisoned'].values())} poisoned messages are written"
    )


def _left(chaos: Json) -> str:
    left = chaos["left"]
    return (
        f"{chaos['accepted']:,} events answered 202: {left['lost']} lost, {left['double']} counted twice, "
        f"{chaos['wrong_pages']} open pages wrong"
    )


def _longest(chaos: Json) -> str:
    return (
        f"longest without a 202 {chaos['longest_without_202_s']:.1f} s, "
        f"without a push {chaos['longest_without_push_s']:.1f} s"
    )


def _both(spread: Json, digits: int = 1) -> str:
    return f"{spread['p50']:,.{digits}f} / {spread['p99']:,.{digits}f}"


def _spread(ms: Json) -> str:
    return f"p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms"


# Name of the block → its page, and what makes its lines.
BLOCKS: Final[dict[str, tuple[Path, Callable[[], Iterable[str]]]]] = {
    "summary": (ROOT / "README.md", summary),
    "profiles": (DOCS / "api.md", profiles),
    "accuracy": (DOCS / "benchmarks.md", quality),
    "simulation": (DOCS / "benchmarks.md", simulation),
    "capacity": (DOCS / "capacity.md", needs),
    "cluster": (DOCS / "runbook.md", cluster),
    "takeover": (DOCS / "benchmarks.md", takeover),
    "replication": (DOCS / "benchmarks.md", replication),
    "figures": (DOCS / "benchmarks.md", speed),
    "traces": (DOCS / "operate.md", traces),
}


def block(name: str) -> str:
    """A block as it has to stand on its page, from marker to marker."""
    _, lines = BLOCKS[name]
    body = "\n".join(lines()).strip("\n")
    return f"{_begin(name)}\n\n{body}\n\n{_end(name)}"


def _begin(name: str) -> str:
    return f"<!-- {name}: made by `python -m infra.figures` -->"


def _end(name: str) -> str:
    return f"<!-- end of {name} -->"


def main() -> None:
    """Replaces the blocks on their pages, and the pictures."""
    for name, (page, _) in BLOCKS.items():
        before, _, rest = page.read_text().partition(_begin(name))
        _, _, after = rest.partition(_end(name))
        page.write_text(before + block(name) + after)
    CURVE.write_text(curve.draw(_measured("live")))
    FAULTS.write_text(faults.draw(_measured("cluster")))
    SIMULATION.write_text(picture.draw(_measured("simulate")["figures"]))


if __name__ == "__main__":
    main()
