"""What faults of a cluster cost, for the runbook: a table, and the curves of latency as an SVG."""

from collections.abc import Iterator
from math import log10
from typing import Any, Final

from infra.chart import PALE, WIDTH, svg, text

Json = dict[str, Any]

COLUMNS: Final = 3
PANEL_HEIGHT: Final = 132
LEFT: Final = 52
GAP: Final = 14
TOP: Final = 26  # of a panel: its name
FOOT: Final = 20
BEFORE_S: Final = 5
LOWEST_MS: Final = 10.0
DECADES: Final = 4  # 10 ms to 100 s
CALLED: Final = {"kafka": "brokers", "session_processor": "session processors", "load generator": "shoppers"}
NAMES: Final = {"p50": "#0a7d5a", "p99": "#c2452d"}  # percentile → colour


def lines(found: Json) -> Iterator[str]:
    """The run, and a row for each fault."""
    machine, calm, cores = found["machine"], found["calm"], found["cores"]
    members = ", ".join(f"{count} {name.replace('_', ' ')}s" for name, count in found["members"].items())
    left = found["left"]
    yield (
        f"`make test-cluster` on {machine['cores']} cores (load average {machine['load']:.0f} before): "
        f"{found['brokers']} brokers, {found['replicas']} replicas, {members} at most, nginx before them, "
        f"{found['pages']} open pages, {found['rate']:.0f} events/s aimed at and {found['reached']:.0f} made."
        f" Event → push before the first fault: p50 {calm['p50']:,.0f} ms, p99 {calm['p99']:,.0f} ms; "
        f"{', '.join(f'{CALLED.get(kind, kind)} {each:.2f}' for kind, each in cores.items())} of "
        f"{machine['cores']} cores, together {sum(cores.values()):.2f}. Of "
        f"{found['accepted']:,} events answered 202 {left['lost']} were lost and {left['double']} counted "
        f"twice; {left['different']} sessions were not what a fold of their events gives, "
        f"{found['wrong_pages']} pages were wrong in the end."
    )
    heads = (
        "fault",
        "took s",
        "all sockets back, s",
        "slowest click, s",
        "longest without a 202, s",
        "a push, s",
    )
    yield from ("", f"| {' | '.join(heads)} |")
    yield "|---" * 6 + "|"
    for each in found["faults"]:
        yield (
            f"| {each['name']} | {each['lasted_s']:.1f} | {each['sockets_back_s']:.1f} "
            f"| {each['next_click_s']:.1f} "
            f"| {each['longest_without_202_s']:.1f} | {each['longest_without_push_s']:.1f} |"
        )
    yield from ("", "![latency by second through each fault](faults.svg)")


def draw(found: Json) -> str:
    """A panel for each fault: p50 and p99 by the second of the click; dashed: clicks are shown."""
    rows = -(-len(found["faults"]) // COLUMNS)
    last = max(each["second"] for fault in found["faults"] for each in fault["curve"])
    drawn = [
        line
        for number, fault in enumerate(found["faults"])
        for line in _panel(fault, number, float(last + 1))
    ]
    legend_y = rows * PANEL_HEIGHT + 14
    for number, (name, colour) in enumerate(NAMES.items()):
        drawn.append(text(LEFT + number * 60, legend_y, name, "start", colour))
    drawn.append(
        text(
            LEFT + 120,
            legend_y,
            "event → push by second; 0: the fault begins; dashed: clicks are shown",
            "start",
        )
    )
    return svg(drawn, legend_y + 12)


def _panel(fault: Json, number: int, last_s: float) -> Iterator[str]:
    width = (WIDTH - LEFT - GAP * COLUMNS) / COLUMNS
    left = LEFT + (number % COLUMNS) * (width + GAP)
    top = (number // COLUMNS) * PANEL_HEIGHT + TOP
    height = PANEL_HEIGHT - TOP - FOOT

    def x(second: float) -> float:
        return left + (second + BEFORE_S) / (last_s + BEFORE_S) * width

    def y(ms: float) -> float:
        up = log10(max(ms, LOWEST_MS) / LOWEST_MS) / DECADES
        return top + height * (1 - min(up, 1.0))

    yield text(left, top - 8, fault["name"], "start")
    for decade in range(DECADES + 1):
        ms = LOWEST_MS * 10**decade
        yield f'<path d="M{left:.1f} {y(ms):.1f}H{left + width:.1f}" stroke="{PALE}"/>'
        if number % COLUMNS == 0:
            yield text(left - 5, y(ms) + 4, f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms", "end")
    for second in range(0, int(last_s) + 1, 10):
        yield text(x(second), top + height + 14, str(second), "middle")
    yield f'<path d="M{x(0):.1f} {top}V{top + height}" stroke="#333"/>'
    back = x(min(fault["lasted_s"] + fault["next_click_s"], last_s))
    yield f'<path d="M{back:.1f} {top}V{top + height}" stroke="#333" stroke-dasharray="3 3"/>'
    for name, colour in NAMES.items():
        path = "L".join(f"{x(each['second'] + 0.5):.1f} {y(each[name]):.1f}" for each in fault["curve"])
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
