"""`python -m tests.benchmark`: what `make bench` runs. Absolute times never fail a run."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from infra.stack.broker import ROOT, BrokerUnavailable
from infra.stack.lifecycle import CannotStart, StepFailed
from tests.benchmark import (
    archive,
    catalogue_load,
    chaos,
    experiment_report,
    history,
    live,
    report,
    search,
)
from tests.benchmark.accuracy.parts import Part as AccuracyPart
from tests.benchmark.fold import FoldFigures
from tests.benchmark.live import RATES, WARM_UP_S, Plan
from tests.benchmark.machine import this_machine
from tests.benchmark.system import System, already_running, whole_stack, without_embedder
from tests.support.machine import SHARED_DATA

QUICK_S = 5.0
QUICK_EVENTS = 200_000
CHAOS_RATE = 60.0  # events a second: a quarter of what two cores hold, for kills leave work behind

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class Part(StrEnum):
    """What can be measured by itself."""

    live = "live"
    embedding = "embedding"
    fold = "fold"
    push = "push"
    click = "click"
    ingest = "ingest"
    worker = "worker"
    history = "history"
    training = "training"
    words = "words"
    parser = "parser"
    search = "search"
    catalogue = "catalogue"
    experiment = "experiment"
    pages = "pages"
    archive = "archive"
    rebuild = "rebuild"
    qdrant = "qdrant"
    scale = "scale"
    sockets = "sockets"
    tenants = "tenants"
    replay = "replay"
    traces = "traces"
    accuracy = "accuracy"
    chaos = "chaos"


TITLES = {
    Part.words: "Words to vectors, by a running embedder",
    Part.parser: "A search's words understood by the parser",
    Part.push: "A row for a visitor who has just clicked, and the compiled part of it alone",
    Part.click: "A click in a real browser, until the row on the page is another",
    Part.pages: "Product pages: different products, reasons that hold, what goes with what",
    Part.training: "Learning from more and more events, with the most memory that it takes",
    Part.ingest: "Events over HTTP, and a bare route beside them",
    Part.worker: "The session processor at several rates and at full speed",
    Part.replay: "A replay at full speed: what one session processor folds",
    Part.traces: "What traces cost: CPU time of an event without, with 1 % and with all of them",
    Part.scale: "A recommender with 100,000 products",
    Part.sockets: "Open pages of one recommender, before and after it is killed",
    Part.tenants: "One process of one, two and four shops: memory, threads, how soon it is ready",
    Part.rebuild: "The index built anew from 20,000 products",
    Part.qdrant: "A question to a Qdrant server by gRPC, beside REST in a thread",
}
# `make bench`; accuracy is `make evaluate`, and chaos measures what is left rather than how fast it was.
MACHINE_PARTS = [part for part in Part if part not in {Part.accuracy, Part.chaos}]


@app.command(
    epilog="Examples: python -m tests.benchmark live --quick --rates 100,300; "
    "python -m tests.benchmark accuracy --only serenade --only cold    "
    "(the figures land in build/bench/live.json, embedding.json, fold.json, history.json and accuracy.json)"
)
def main(  # noqa: PLR0917 - typer knows them by name
    parts: Annotated[
        list[Part] | None, typer.Argument(help="what to measure; all but accuracy where none is named")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="5 s a rate instead of 30")] = False,
    rates: Annotated[str, typer.Option(help="events a second, comma-separated")] = ",".join(map(str, RATES)),
    seconds: Annotated[float, typer.Option(help="how long each rate is kept up")] = 30.0,
    visitors: Annotated[int, typer.Option(help="open pages, each with a live socket")] = 200,
    highest: Annotated[
        bool, typer.Option("--search/--no-search", help="also look for the highest rate held")
    ] = True,
    profile: Annotated[
        bool, typer.Option("--profile", help="py-spy beside each rate, which disturbs the figures")
    ] = False,
    events: Annotated[int, typer.Option(min=1_000, help="events of the history")] = 1_000_000,
    standin: Annotated[
        bool, typer.Option("--without-embedder", help="made-up vectors: neither embedder nor shop is started")
    ] = False,
    ingest: Annotated[str | None, typer.Option(help="URL of a running ingest; needs the next two")] = None,
    recommender: Annotated[str | None, typer.Option(help="URL of a running recommender")] = None,
    kafka: Annotated[str | None, typer.Option(help="their Kafka, host:port")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="of chaos: how long")] = 10.0,
    only: Annotated[
        list[AccuracyPart] | None,
        typer.Option(help="of accuracy this part, the others' figures are kept; can be given several times"),
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the datasets that accuracy needs")] = SHARED_DATA,
    out: Annotated[Path, typer.Option(help="folder of the JSON files")] = ROOT / "build" / "bench",
) -> None:
    """Measure event → push, products embedded and events of history read a second, and one fold, each
    beside its bare baseline in the same run; or how good the recommendations are, beside published figures.
    """
    logging.getLogger("librdkafka").setLevel(logging.ERROR)  # a broker that has just started says much
    wanted = parts or MACHINE_PARTS
    if only and Part.accuracy not in wanted:
        raise typer.BadParameter("--only goes with the part accuracy: python -m tests.benchmark accuracy …")
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        rates=_rates(rates),
        seconds=QUICK_S if quick else seconds,
        warm_up_s=QUICK_S if quick else WARM_UP_S,
        visitors=visitors,
        search=highest,
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
    count = QUICK_EVENTS if quick else events
    others: dict[Part, Callable[[], None]] = {
        Part.embedding: partial(_embedding, out),
        Part.fold: partial(_fold, out),
        Part.push: partial(_print_part, Part.push, "push", out),
        Part.click: partial(_print_part, Part.click, "page_click", out),
        Part.ingest: partial(_print_part, Part.ingest, "ingest", out),
        Part.worker: partial(_print_part, Part.worker, "session_worker", out),
        Part.history: partial(_history, count, out),
        Part.training: partial(_print_part, Part.training, "training", out),
        Part.words: partial(_print_part, Part.words, "words", out),
        Part.parser: partial(_print_part, Part.parser, "search_words", out),
        Part.search: partial(_search, out),
        Part.pages: partial(_print_part, Part.pages, "pages", out),
        Part.catalogue: partial(_catalogue, out),
        Part.experiment: partial(_experiment, count, out),
        Part.archive: partial(_archive, count, out),
        Part.replay: partial(_print_part, Part.replay, "replay", out),
        Part.traces: partial(_print_part, Part.traces, "traces", out),
        Part.rebuild: partial(_print_part, Part.rebuild, "index_rebuild", out),
        Part.qdrant: partial(_print_part, Part.qdrant, "qdrant", out),
        Part.scale: partial(_print_part, Part.scale, "scale", out),
        Part.sockets: partial(_print_part, Part.sockets, "sockets", out),
        Part.tenants: partial(_print_part, Part.tenants, "tenants", out),
    }
    for part, run in others.items():
        if part in wanted:
            run()
    if Part.chaos in wanted:
        _chaos(out, minutes, visitors)
    if Part.accuracy in wanted:
        _accuracy(only or list(AccuracyPart), data, out)


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
    with _starting(start) as system:
        figures = live.measure(system, plan, partial(report.progress, console))
    report.write(out / "live.json", figures)
    report.show(console, figures)
    console.print(f"written to {out / 'live.json'}")


def _embedding(out: Path) -> None:
    console.print("\nThe embedding pipeline, and the bare models beside it …")
    machine = msgspec.to_builtins(this_machine())
    figures = msgspec.json.decode(_by_itself("embedding"), type=dict[str, float])
    report.write(out / "embedding.json", {"machine": machine, "figures": figures})
    report.show_embedding(console, figures)
    console.print(f"written to {out / 'embedding.json'}")


def _fold(out: Path) -> None:
    console.print("\nOne fold of a full session, and the bare matrix product beside it …")
    machine = msgspec.to_builtins(this_machine())
    figures = msgspec.json.decode(_by_itself("fold"), type=FoldFigures)
    report.write(out / "fold.json", {"machine": machine, "figures": figures})
    report.show_fold(console, figures)
    console.print(f"written to {out / 'fold.json'}")


def _history(count: int, out: Path) -> None:
    console.print("\nThe trainer's reading of history, and a bare consumer beside it …")
    figures = history.measure(count, lambda what: console.print(f"  {what}"))
    report.write(out / "history.json", figures)
    report.show_history(console, figures)
    console.print(f"written to {out / 'history.json'}")


def _print_part(part: Part, module: str, out: Path) -> None:
    console.print(f"\n{TITLES[part]} …")
    machine = msgspec.to_builtins(this_machine())
    figures = msgspec.json.decode(_by_itself(module))
    report.write(out / f"{part}.json", {"machine": machine, "figures": figures})
    console.print_json(data=figures)
    console.print(f"written to {out / f'{part}.json'}")


def _search(out: Path) -> None:
    console.print("\nSearches over HTTP, once their words are known …")
    with _starting(partial(whole_stack, _tell)) as system:
        figures = search.measure(system, lambda what: console.print(f"  {what}"))
    report.write(out / "search.json", figures)
    console.print_json(data=msgspec.to_builtins(figures))
    console.print(f"written to {out / 'search.json'}")


@contextmanager
def _starting(start: Callable[[], AbstractContextManager[System]]) -> Iterator[System]:
    """What cannot be started ends the run with its own sentence."""
    try:
        with start() as system:
            yield system
    except (CannotStart, StepFailed, BrokerUnavailable) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


def _catalogue(out: Path) -> None:
    console.print("\nFeeds made into products, and bare readers beside them …")
    machine = msgspec.to_builtins(this_machine())
    figures = msgspec.json.decode(_by_itself("catalogue_load"), type=catalogue_load.CatalogueFigures)
    report.write(out / "catalogue.json", {"machine": machine, "figures": figures})
    catalogue_load.show(console, figures)
    console.print(f"written to {out / 'catalogue.json'}")


def _experiment(count: int, out: Path) -> None:
    console.print("\nThe report of an experiment: impressions and events read and joined …")
    figures = experiment_report.measure(count, lambda what: console.print(f"  {what}"))
    report.write(out / "experiment.json", figures)
    console.print_json(data=msgspec.to_builtins(figures))
    console.print(f"written to {out / 'experiment.json'}")


def _archive(count: int, out: Path) -> None:
    console.print("\nAn archive: events exported, imported and read …")
    figures = archive.measure(count, lambda what: console.print(f"  {what}"))
    report.write(out / "archive.json", figures)
    console.print_json(data=msgspec.to_builtins(figures))
    console.print(f"written to {out / 'archive.json'}")


def _chaos(out: Path, minutes: float, pages: int) -> None:
    console.print(f"\n{minutes:g} minutes of kills, stops and poison under load …")
    try:
        figures = chaos.measure(
            _tell, lambda what: console.print(f"  {what}"), minutes=minutes, rate=CHAOS_RATE, pages=pages
        )
    except (CannotStart, StepFailed, BrokerUnavailable) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    report.write(out / "chaos.json", figures)
    chaos.show(console, figures)
    console.print(f"written to {out / 'chaos.json'}")
    if figures.wrong_pages or not figures.left.is_whole:
        raise typer.Exit(1)


def _accuracy(wanted: list[AccuracyPart], data: Path, out: Path) -> None:
    from tests.benchmark.accuracy import picture, run, tables  # noqa: PLC0415 - lightgbm, matplotlib: 3 s

    logging.getLogger("gensim").setLevel(logging.WARNING)
    figures = run.measure(wanted, data, out / "accuracy.json", console)
    tables.show(console, figures)
    if figures.retailrocket or figures.diginetica:
        picture.draw(figures, out.parent / "evaluation.png")
        console.print(f"drawn: {out.parent / 'evaluation.png'}")
    console.print(f"figures: {out / 'accuracy.json'}")


def _by_itself(part: str) -> bytes:
    """The JSON that a part prints, run as a process: its memory and threads disturb no other measurement."""
    command = [sys.executable, "-m", f"tests.benchmark.{part}"]
    environment = {"EDDY_LOG_LEVEL": "ERROR"} | os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise typer.Exit(1)  # it has told why on stderr
    return done.stdout


def _tell(what: str, seconds: float) -> None:
    console.print(f"  {what:<62} {seconds:6.1f} s")


if __name__ == "__main__":
    app()
