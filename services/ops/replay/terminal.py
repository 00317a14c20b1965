"""The report of a replay for people at a terminal: tables, sentences, and what has to be known."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.ops.replay import telling
from services.ops.replay.answers import ReplayReport
from services.ops.replay.telling import Line


def show(console: Console, report: ReplayReport) -> None:
    """Prints the whole report; the verdict stands at its end, where a terminal is looked at."""
    for sentence in (*telling.asked_for(report.asked), *telling.fed(report.fed)):
        _say(console, sentence)
    if report.sessions is not None:
        for sentence in telling.sessions(report.sessions):
            _say(console, sentence)
    if report.qualities:
        names = [each.name for each in report.qualities]
        title = f"the next click, rows of {report.asked.k}"
        console.print(_table(title, names, telling.quality_rows(report)))
        if known := telling.advantage(report):
            _say(console, known)
    if report.compared:
        names = [f"{each.name} −\n{each.with_name}" for each in report.compared]
        console.print(_table("the same cases in pairs", names, telling.pair_rows(report)))
    for note in report.notes:
        _say(console, f"! {note}", style="yellow")
    if report.verdict:
        _say(console, report.verdict, style="bold")


def _table(title: str, names: Iterable[str], lines: Iterable[Line]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(escape(name), justify="right")
    for what, cells in lines:
        table.add_row(escape(what), *map(escape, cells))
    return table


def _say(console: Console, sentence: str, style: str | None = None) -> None:
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
