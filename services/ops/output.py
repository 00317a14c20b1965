"""The one renderer: an answer as one JSON document, as a table of declared columns, or as sentences."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.table import Table
from rich.text import Text

from schemas.unreadable import printable
from services.cli import console, print_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table, declared beside the struct whose rows it shows.

    `value` is what a row has there: None becomes an empty cell, an int gets its thousands marked.
    """

    label: str
    value: Callable[[T], object]
    right: bool = False
    no_wrap: bool = False


def table(
    rows: Iterable[T],
    columns: Iterable[Column[T]],
    *,
    title: str | None = None,
    style: str = "",
    row_style: Callable[[T], str | None] = lambda _row: None,
) -> Table:
    """The rows as a table; cells are printed as they are, whatever stands in them."""
    shown, columns = (
        Table(title=title and _text(title), title_justify="left", style=style or "none"),
        list(columns),
    )
    for each in columns:
        shown.add_column(_text(each.label), justify="right" if each.right else "left", no_wrap=each.no_wrap)
    for row in rows:
        shown.add_row(*(_text(_cell(each.value(row))) for each in columns), style=row_style(row))
    return shown


def figures(title: str, names: Iterable[str], rows: Iterable[tuple[str, Sequence[str | Text]]]) -> Table:
    """A line a figure, a column for each of the names."""
    shown = Table(title=_text(title), title_justify="left")
    shown.add_column("")
    for name in names:
        shown.add_column(_text(name), justify="right")
    for what, cells in rows:
        shown.add_row(_text(what), *(_text(each) if isinstance(each, str) else each for each in cells))
    return shown


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, without a head."""
    shown = Table("", "", show_header=False)
    for name, value in rows:
        shown.add_row(_text(name), _text(_cell(value)))
    return shown


def _text(words: str) -> Text:
    """As it is printed, so that columns are as wide as what they show."""
    return Text(printable(words))


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def say(sentence: str | Text, style: str | None = None, *, wrap: bool = False) -> None:
    """A sentence on stdout as it is, on one line of a pipe unless `wrap`."""
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=not wrap)


def present(answer: T, show: Callable[[T], object], *, as_json: bool) -> None:
    """The answer for machines, or shown to people."""
    if as_json:
        print_json(answer)
    else:
        show(answer)
