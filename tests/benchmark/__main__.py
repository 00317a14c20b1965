"""`python -m tests.benchmark`: what `make bench` runs. Absolute times never fail a run."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from infra.stack.broker import ROOT, BrokerUnavailable
from infra.stack.lifecycle import CannotStart, StepFailed
from tests.benchmark import live, report
from tests.benchmark.live import WARM_UP_S, Plan
from tests.benchmark.machine import this_machine
from tests.benchmark.system import System, already_running, whole_stack, without_embedder

QUICK_S = 5.0

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class Part(StrEnum):
    """What can be measured by itself."""

    live = "live"
    embedding = "embedding"


@app.command(
    epilog="Example: python -m tests.benchmark live --quick --rates 100,300    "
    "(the figures land in build/bench/live.json and embedding.json)"
)
def main(  # noqa: PLR0917 - typer knows them by name
    parts: Annotated[
        list[Part] | None, typer.Argument(help="what to measure; all where none is named")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="5 s a rate instead of 30")] = False,
    rates: Annotated[str, typer.Option(help="events a second, comma-separated")] = "100,300,1000",
    seconds: Annotated[float, typer.Option(help="how long each rate is kept up")] = 30.0,
    visitors: Annotated[int, typer.Option(help="open pages, each with a live socket")] = 200,
    search: Annotated[bool, typer.Option(help="also look for the highest rate held")] = True,
    profile: Annotated[
        bool, typer.Option("--profile", help="py-spy beside each rate, which disturbs the figures")
    ] = False,
    standin: Annotated[
        bool, typer.Option("--without-embedder", help="made-up vectors: neither embedder nor shop is started")
    ] = False,
    ingest: Annotated[str | None, typer.Option(help="URL of a running ingest; needs the next two")] = None,
    recommender: Annotated[str | None, typer.Option(help="URL of a running recommender")] = None,
    kafka: Annotated[str | None, typer.Option(help="their Kafka, host:port")] = None,
    out: Annotated[Path, typer.Option(help="folder of the JSON files")] = ROOT / "build" / "bench",
) -> None:
    """Measure event → push, and products embedded a second, each beside its bare baseline in the same run."""
    logging.getLogger("librdkafka").setLevel(logging.ERROR)  # a broker that has just started says much
    wanted = parts or list(Part)
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        rates=_rates(rates),
        seconds=QUICK_S if quick else seconds,
        warm_up_s=QUICK_S if quick else WARM_UP_S,
        visitors=visitors,
        search=search,
        profile=out if profile else None,
    )
    if Part.live in wanted:
        given = [each for each in (ingest, recommender, kafka) if each]
        if len(given) not in {0, 3}:
            raise typer.BadParameter("--ingest, --recommender and --kafka go together")
        start: Callable[[], AbstractContextManager[System]] = (
            partial(already_running, *given)
            if given
            else partial(without_embedder if standin else whole_stack, _tell)
        )
        _live(start, plan, out)
    if Part.embedding in wanted:
        _embedding(out)


def _rates(text: str) -> list[int]:
    try:
        found = [int(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise typer.BadParameter(f"--rates takes whole numbers above 0, such as 100,300: {text!r}")
    return found


def _live(start: Callable[[], AbstractContextManager[System]], plan: Plan, out: Path) -> None:
    console.print("The live loop")
    try:
        with start() as system:
            figures = live.measure(system, plan, partial(report.progress, console))
    except (CannotStart, StepFailed, BrokerUnavailable) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    report.write(out / "live.json", figures)
    report.show(console, figures)
    console.print(f"written to {out / 'live.json'}")


def _embedding(out: Path) -> None:
    console.print("\nThe embedding pipeline, and the bare models beside it …")
    machine = msgspec.to_builtins(this_machine())
    # In a process of its own: torch's memory and threads are no part of what else is measured.
    command = [sys.executable, "-m", "tests.benchmark.embedding"]
    environment = {"EDDY_LOG_LEVEL": "ERROR"} | os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise typer.Exit(1)  # it has told why on stderr
    figures = msgspec.json.decode(done.stdout, type=dict[str, float])
    report.write(out / "embedding.json", {"machine": machine, "figures": figures})
    report.show_embedding(console, figures)
    console.print(f"written to {out / 'embedding.json'}")


def _tell(what: str, seconds: float) -> None:
    console.print(f"  {what:<62} {seconds:6.1f} s")


if __name__ == "__main__":
    app()
