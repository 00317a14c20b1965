"""Reads files of sessions, .gz or not: plain ones, a session a line, and tables of SessionId, ItemId, Time.

Which of the two a file is, its first line tells.
"""

import gzip
import math
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Final, cast

import numpy as np

from schemas.sessions import KIND_OF
from services.errors import OperationFailed
from services.trainer.cases import EVENT_MS, Case
from services.trainer.sessions import Histories, compact

SESSION_MS: Final = 60 * 60 * 1_000  # between plain sessions
TABLE_COLUMNS: Final = ("sessionid", "itemid", "time")
TIME_MAX_S: Final = 4_102_444_800  # the year 2100, as in schemas.events
GZIP_MAGIC: Final = b"\x1f\x8b"
CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Line = tuple[int, str]  # number, counted from 1, and text


class UnreadableFile(OperationFailed):
    """The file is no file of sessions; tells the file, the line and what is wrong with it."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


@dataclass(frozen=True, slots=True)
class _Session:
    items: Sequence[str]
    times: Sequence[int]  # Unix ms, ascending


def read_histories(path: Path) -> Histories:
    """The sessions to learn from; all events are views. Raises UnreadableFile, also for a file without any.

    Sessions of a plain file follow one another, an hour apart, and their events by a second. Those of a
    table are taken whole, whatever pauses are in them. Blank lines mean nothing.
    """
    sessions = list(_sessions(path))
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
    if _is_table(first):
        sessions = _table(path, first, lines)
        cases = [Case(tuple(each.items[:-1]), each.items[-1]) for each in sessions if len(each.items) > 1]
        if not cases:
            raise UnreadableFile(path, "no session has two events, so nothing can be held out")
        return cases
    return [_case(path, number, text) for number, text in chain([first], lines)]


def _sessions(path: Path) -> Iterator[_Session]:
    """In order of their ends."""
    lines = _lines(path)
    first = _first(path, lines)
    return _table(path, first, lines) if _is_table(first) else _plain(path, chain([first], lines))


def _plain(path: Path, lines: Iterator[Line]) -> Iterator[_Session]:
    begin = 0
    for number, text in lines:
        if "\t" in text:
            raise UnreadableFile(path, "has a TAB, as only a test file's lines have", number)
        items = _ids(text)
        times = range(begin, begin + len(items) * EVENT_MS, EVENT_MS)
        yield _Session(items, times)
        begin = times[-1] + SESSION_MS


def _case(path: Path, number: int, text: str) -> Case:
    cells = text.split("\t")
    if len(cells) != 2:
        found = "no TAB" if len(cells) == 1 else f"{len(cells) - 1} TABs"
        raise UnreadableFile(path, f"{found}, expected a prefix, one TAB and a target", number)
    prefix, target = _ids(cells[0]), _ids(cells[1])
    if not prefix:
        raise UnreadableFile(path, "the prefix is empty", number)
    if len(target) != 1:
        raise UnreadableFile(path, f"{len(target)} targets after the TAB, expected one", number)
    return Case(tuple(prefix), target[0])


def _ids(text: str) -> list[str]:
    """Split at spaces only: an id may hold any other character."""
    return [each for each in text.split(" ") if each]


def _is_table(first: Line) -> bool:
    return sorted(first[1].lower().split("\t")) == sorted(TABLE_COLUMNS)


def _table(path: Path, header: Line, lines: Iterator[Line]) -> Iterator[_Session]:
    """The table's sessions in order of their ends; rows may come in any order."""
    names = header[1].lower().split("\t")
    session_at, item_at, time_at = (names.index(name) for name in TABLE_COLUMNS)
    rows: dict[str, list[tuple[int, str]]] = {}
    for number, text in lines:
        cells = text.split("\t")
        if len(cells) != len(names):
            raise UnreadableFile(path, f"{len(cells)} cells, expected {len(names)}", number)
        if not cells[session_at] or not cells[item_at]:
            raise UnreadableFile(path, "SessionId or ItemId is empty", number)
        event = (_time(path, number, cells[time_at]), cells[item_at])
        rows.setdefault(cells[session_at], []).append(event)
    if not rows:
        raise UnreadableFile(path, "has a header and nothing else")
    for events in rows.values():
        events.sort(key=lambda event: event[0])
    for events in sorted(rows.values(), key=lambda events: events[-1][0]):
        yield _Session([item for _, item in events], [time for time, _ in events])


def _time(path: Path, number: int, text: str) -> int:
    """Seconds as text to ms."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= TIME_MAX_S:
        raise UnreadableFile(path, f"Time {text[:40]!r} is no Unix time in seconds", number)
    return round(seconds * 1000)


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
