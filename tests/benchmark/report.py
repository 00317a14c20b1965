"""Figures on the terminal and in build/bench/*.json."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmark.fold import FoldFigures
from tests.benchmark.history import HistoryFigures
from tests.benchmark.live import BARE_RATE, LiveFigures
from tests.benchmark.load import Tell
from tests.benchmark.spread import Spread
from tests.benchmark.window import Window


def write(path: Path, figures: object) -> None:
    """As indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


@contextmanager
def progress(console: Console, what: str, seconds: float) -> Iterator[Tell]:
    """A bar that fills as the seconds go by; it is redrawn rarely, for the cores are being measured."""
    if not console.is_terminal:
        console.print(f"  {what}, {seconds:.0f} s …")
        yield lambda _over: None
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task(what, total=seconds)
        bar.refresh()
        yield lambda over: bar.update(task, completed=over, refresh=True)


def show(console: Console, figures: LiveFigures) -> None:
    """The tables of the live loop."""
    machine = figures.machine
    console.print(
        f"\n[bold]Event → push[/], ms: from the POST's first byte to the message in the client; "
        f"{figures.sockets} open sockets, {figures.products} products"
    )
    console.print(f"{figures.system}\n{machine.cores} cores, {machine.cpu}; revision {machine.revision}\n")
    console.print(_windows(figures))
    for window in (*figures.windows, *figures.search):
        if reason := window.not_held_because:
            console.print(f"{window.rate}/s was not held: {reason}", style="yellow", markup=False)
    console.print(f"highest rate held: [bold]{figures.held_rate}[/] events/s\n")
    console.print(_stages(figures.windows))
    console.print(_processes(figures))


def _windows(figures: LiveFigures) -> Table:
    table = Table(
        "events/s", "p50", "p90", "p99", "max", "202 p50", "202 p99", "sent", "coalesced", "lost", "held"
    )
    for window in (*figures.windows, *figures.search):
        table.add_row(
            str(window.rate),
            *_cells(window.event_to_push),
            f"{window.post.p50:.1f}",
            f"{window.post.p99:.1f}",
            str(window.sent),
            str(window.coalesced),
            str(window.lost),
            "no" if window.not_held_because else "yes",
        )
    table.add_section()
    for rate, spread in figures.bare.items():
        table.add_row(f"bare Kafka, {rate}", *_cells(spread))
    if figures.times_bare:
        times = [f"× {figures.times_bare[name]:.2f}" for name in ("p50", "p90", "p99")]
        table.add_row(f"Eddy / bare, {BARE_RATE}", *times)
    return table


def _cells(spread: Spread) -> list[str]:
    return [f"{each:.1f}" for each in (spread.p50, spread.p90, spread.p99, spread.max)]


def _stages(windows: list[Window]) -> Table:
    table = Table("part of the way: p50 / p90 / p99 ms", *(f"{window.rate}/s" for window in windows))
    for name in windows[0].stages if windows else ():
        spreads = [window.stages[name] for window in windows]
        table.add_row(name, *(f"{each.p50:.1f} / {each.p90:.1f} / {each.p99:.1f}" for each in spreads))
    return table


def _processes(figures: LiveFigures) -> Table:
    """Cores kept busy, and in brackets CPU milliseconds an event."""
    rates = [f"{window.rate}/s" for window in figures.windows]
    table = Table("cores (ms an event)", "MB idle", "MB after load", *rates)
    for name, idle in figures.idle_mb.items():
        cores = [_cores(window, window.cores.get(name, 0)) for window in figures.windows]
        table.add_row(name, f"{idle:.0f}", f"{figures.loaded_mb[name]:.0f}", *cores)
    totals = [_cores(window, sum(window.cores.values())) for window in figures.windows]
    table.add_section()
    table.add_row(
        "all", f"{sum(figures.idle_mb.values()):.0f}", f"{sum(figures.loaded_mb.values()):.0f}", *totals
    )
    return table


def _cores(window: Window, cores: float) -> str:
    return f"{cores:.2f} ({1000 * cores * window.seconds / max(window.sent, 1):.1f})"


def show_embedding(console: Console, figures: dict[str, float]) -> None:
    """The figures of the embedding pipeline beside the bare models."""
    table = Table("embedding", "")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,.3g}" if value < 100 else f"{value:,.0f}")
    console.print(table)


def show_history(console: Console, figures: HistoryFigures) -> None:
    """The figures of the trainer's reading beside the bare consumer's."""
    table = Table("history", "")
    for name, value in msgspec.to_builtins(figures).items():
        if name != "machine":
            table.add_row(name.replace("_", " "), f"{value:,.3g}" if value < 100 else f"{value:,.0f}")
    console.print(table)


def show_fold(console: Console, figures: FoldFigures) -> None:
    """The figures of one fold, in microseconds."""
    table = Table(f"{figures.events} events × {figures.components:,} components, µs", "p50", "p90", "p99")
    rows = {f"fold, {name}": spread for name, spread in figures.folds.items()}
    rows |= {"bare product": figures.bare, "to bytes and back": figures.to_bytes_and_back}
    for name, spread in rows.items():
        table.add_row(name, *(f"{each:.0f}" for each in (spread.p50, spread.p90, spread.p99)))
    console.print(table)
    console.print(f"the largest session: [bold]{figures.bytes:,}[/] bytes")
