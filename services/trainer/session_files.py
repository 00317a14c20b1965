"""Reads files of sessions, .gz or not: plain ones, a session a line, and tables of events (session_tables).

Which of the two a file is, its first line tells.
"""

import gzip
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Final, cast

import numpy as np

from schemas.sessions import KIND_OF
from services.errors import OperationFailed
from services.trainer.cases import EVENT_MS, Case
from services.trainer.session_tables import SESSION_MS, Line, Session, Table, delimiter_of, is_json
from services.trainer.sessions import Histories, compact

EXAMPLES: Final = 3  # products that a sentence names
LOOKED_AT: Final = 100  # lines, to tell how a plain file parts its ids
GZIP_MAGIC: Final = b"\x1f\x8b"
CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# Separators of tables; a file of lines with one of them and no space is no plain one.
_CELLS: Final = re.compile(r"[,;|]")
_MOMENT: Final = re.compile(r"1\d{9}(\d{3})?(\.\d+)?|\d{4}-\d\d-\d\d([T ].*)?")
TABLE: Final = (
    "looks like a table, whose columns are not known: name them session_id, item_id and timestamp in its "
    "first line, or write a session a line, its ids parted by spaces"
)


class UnreadableFile(OperationFailed):
    """The file is no file of sessions; tells the file, the line and what is wrong with it."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


def read_histories(path: Path) -> Histories:
    """The sessions to learn from; all events are views. Raises UnreadableFile, also for a file without any.

    Sessions of a plain file follow one another, an hour apart, and their events by a second. Those of a
    table are taken whole, whatever pauses are in them. Blank lines mean nothing.
    """
    sessions = _sessions(path)
    if not sessions:
        raise UnreadableFile(path, "has no session in it")
    ids = list(chain.from_iterable(session.items for session in sessions))
    products = tuple(sorted(set(ids)))
    places = {product: place for place, product in enumerate(products)}
    return compact(
        products,
        np.fromiter(map(places.__getitem__, ids), dtype=np.int32, count=len(ids)),
        np.array(array("q", chain.from_iterable(session.times for session in sessions)), dtype=np.int64),
        np.full(len(ids), KIND_OF["view_item"], dtype=np.uint8),
        np.cumsum([0, *(len(session.items) for session in sessions)], dtype=np.int64),
    )


def read_cases(path: Path) -> list[Case]:
    """The cases to measure by. Raises UnreadableFile, also for a file without any.

    A plain file has one a line, prefix TAB target. Of a table every session of two or more events is one:
    its last product is the target.
    """
    lines = _lines(path)
    first = _first(path, lines)
    table = _table(path, first, lines)
    if table is None:
        every = list(chain([first], lines))
        separator = _separator(path, every)
        return [_case(path, number, text, separator) for number, text in every]
    if table.cases:
        return table.cases
    cases = [Case(tuple(each.items[:-1]), each.items[-1]) for each in table.sessions() if len(each.items) > 1]
    if not cases:
        raise UnreadableFile(path, "no session has two events, so nothing can be held out")
    return cases


def require_common(test: Path, cases: Sequence[Case], train: Path, histories: Histories) -> None:
    """Raises UnreadableFile where no case's target is a product of the training: every rank would be none."""
    known = set(histories.products)
    if known.isdisjoint(case.target for case in cases):
        shown = ", ".join(sorted({case.target for case in cases})[:EXAMPLES])
        there = ", ".join(histories.products[:EXAMPLES])
        raise UnreadableFile(
            test,
            f"none of its {len(cases):,} targets ({shown}) is a product of {train} ({there}): are both files "
            "of one shop, and of one form?",
        )


def _sessions(path: Path) -> list[Session]:
    """In order of their ends."""
    lines = _lines(path)
    first = _first(path, lines)
    table = _table(path, first, lines)
    if table is not None:
        return table.sessions()
    every = list(chain([first], lines))
    return list(_plain(path, every, _separator(path, every)))


def _table(path: Path, first: Line, lines: Iterator[Line]) -> Table | None:
    """The whole file as a table; None where it is a plain one. Raises UnreadableFile."""
    found = Table(lambda reason, line: UnreadableFile(path, reason, line))
    if is_json(first[1]):
        found.read_json(chain([first], lines))
    elif delimiter := delimiter_of(first[1]):
        found.read_cells(first, lines, delimiter)
    else:
        return None
    if not found.sessions():
        raise UnreadableFile(path, "has a header and nothing else")
    return found


def _separator(path: Path, lines: list[Line]) -> str:
    """What parts the ids of a plain file: spaces, or commas and the like where no line has a space.

    Raises UnreadableFile for what looks like a table without a header that is known.
    """
    looked_at = [text.partition("\t")[0] for _, text in lines[:LOOKED_AT]]
    if any(" " in text.strip(" ") for text in looked_at):
        return " "
    separators = {found[0] for text in looked_at if (found := _CELLS.search(text))}
    if len(separators) != 1 or sum(len(_CELLS.findall(text)) > 0 for text in looked_at) * 2 < len(looked_at):
        return " "
    [separator] = separators
    rows = [text.split(separator) for text in looked_at]
    width = len(rows[0])
    is_even = len(rows) > 1 and all(len(row) == width for row in rows)
    if is_even and any(all(_MOMENT.fullmatch(row[at]) for row in rows[1:]) for at in range(width)):
        raise UnreadableFile(path, TABLE, lines[0][0])
    return separator


def _plain(path: Path, lines: list[Line], separator: str) -> Iterator[Session]:
    begin = 0
    for number, text in lines:
        if "\t" in text:
            raise UnreadableFile(path, "has a TAB, as only a test file's lines have", number)
        items = _ids(text, separator)
        if not items:
            continue  # separators, and nothing between them
        times = range(begin, begin + len(items) * EVENT_MS, EVENT_MS)
        yield Session(items, times)
        begin = times[-1] + SESSION_MS


def _case(path: Path, number: int, text: str, separator: str) -> Case:
    cells = text.split("\t")
    if len(cells) != 2:
        found = "no TAB" if len(cells) == 1 else f"{len(cells) - 1} TABs"
        raise UnreadableFile(path, f"{found}, expected a prefix, one TAB and a target", number)
    prefix, target = _ids(cells[0], separator), _ids(cells[1], separator)
    if not prefix:
        raise UnreadableFile(path, "the prefix is empty", number)
    if len(target) != 1:
        raise UnreadableFile(path, f"{len(target)} targets after the TAB, expected one", number)
    return Case(tuple(prefix), target[0])


def _ids(text: str, separator: str) -> list[str]:
    """Split at the separator only: an id may hold any other character."""
    return [each for each in text.split(separator) if each]


def _first(path: Path, lines: Iterator[Line]) -> Line:
    first = next(lines, None)
    if first is None:
        raise UnreadableFile(path, "is empty")
    return first


def _lines(path: Path) -> Iterator[Line]:
    """The lines that are not blank, with their numbers."""
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if CONTROLS.search(text):
                    raise UnreadableFile(path, "has control characters: is it a file of text?", number)
                if text.strip(" "):
                    yield number, text
    except UnicodeDecodeError:
        raise UnreadableFile(path, "is no UTF-8 text", number) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(path, f"cannot be read: {reason}", number + 1 if number else None) from None


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")
