"""Tables of events, with any usual delimiter or as JSON lines, and RecBole's files, as sessions and cases.

Columns are known by their names: `session_id, item_id, timestamp`, `SessionId\\tItemId\\tTime`, RecBole's
`session_id:token item_id_list:token_seq item_id:token`, and OTTO's `{"session": …, "events": […]}`.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

import msgspec

from schemas.events import LATEST_MS
from services.trainer.cases import EVENT_MS, Case

SESSION_MS: Final = 60 * 60 * 1_000  # between sessions whose times nobody knows
DELIMITERS: Final = "\t,;| "

# In the order in which they are looked for.
SESSION: Final = (
    "sessionid",
    "session",
    "sessid",
    "usersession",
    "visitid",
    "userid",
    "user",
    "visitorid",
    "uid",
)
ITEM: Final = ("itemid", "item", "productid", "product", "sku", "aid", "articleid", "iid", "target", "label")
TIME: Final = (
    "time",
    "timestamp",
    "ts",
    "eventtime",
    "occurredat",
    "datetime",
    "date",
    "eventdate",
    "unixtime",
)
LIST: Final = ("itemidlist", "itemids", "items", "itemlist", "sequence", "prefix", "history")
EVENTS: Final = "events"

Line = tuple[int, str]  # number, counted from 1, and text
Refuse = Callable[[str, int], Exception]  # the reason, and the line


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its products and their times (Unix ms, ascending)."""

    items: Sequence[str]
    times: Sequence[int]


@dataclass(frozen=True, slots=True)
class Columns:
    """How the file calls the columns of session, product, time, and of a list of products."""

    session: str | None
    item: str | None
    time: str | None
    items: str | None

    @property
    def are_known(self) -> bool:
        """Whether sessions or cases follow from them."""
        return (self.session is not None and (self.item or self.items) is not None) or self.are_cases

    @property
    def are_cases(self) -> bool:
        """Whether a row is a prefix and its target."""
        return self.items is not None and self.item is not None


def find_columns(names: Sequence[str]) -> Columns:
    """Which of these names is which."""
    plain = {re.sub(r"[^a-z0-9]", "", name.partition(":")[0].lower()): name for name in reversed(names)}

    def first(wanted: Sequence[str]) -> str | None:
        return next((plain[each] for each in wanted if each in plain), None)

    return Columns(first(SESSION), first(ITEM), first(TIME), first(LIST))


def delimiter_of(header: str) -> str | None:
    """The delimiter with which the line names columns that are known; None for none."""
    return next((each for each in DELIMITERS if find_columns(_split(header, each)).are_known), None)


def is_json(first: str) -> bool:
    """Whether the lines are JSON."""
    return first.lstrip()[:1] in ("{", "[")


@dataclass(slots=True)
class Table:
    """What the rows of a table come to."""

    refuse: Refuse
    cases: list[Case] = field(default_factory=list)
    _events: dict[str, list[tuple[int | None, str]]] = field(default_factory=dict)
    _lists: dict[str, Sequence[str]] = field(default_factory=dict)

    def read_cells(self, header: Line, lines: Iterator[Line], delimiter: str) -> None:
        """All rows under a header. Raises what `refuse` makes."""
        names = _split(header[1], delimiter)
        columns = find_columns(names)
        for number, text in lines:
            cells = _split(text, delimiter)
            if len(cells) != len(names):
                raise self.refuse(f"{len(cells)} cells, expected {len(names)}", number)
            self._take(number, dict(zip(names, cells, strict=True)), columns)

    def read_json(self, lines: Iterator[Line]) -> None:
        """An object or a list of products a line. Raises what `refuse` makes."""
        for number, text in lines:
            try:
                found = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError) as error:
                raise self.refuse(f"is no JSON: {error}", number) from None
            if isinstance(found, list):
                self._lists[str(number)] = [_text(each) for each in found]
                continue
            if not isinstance(found, dict):
                raise self.refuse("is neither an object nor a list", number)
            columns = find_columns(list(found))
            if isinstance(found.get(EVENTS), list) and columns.session is not None:
                for event in found[EVENTS]:
                    own = event if isinstance(event, dict) else {}
                    row = {columns.session: found[columns.session]} | own
                    self._take(number, row, find_columns([columns.session, *own]))
                continue
            self._take(number, found, columns)

    def sessions(self) -> list[Session]:
        """In order of their ends; those without times follow one another, an hour apart."""
        found = [*self._sessions_with_times(), *self._sessions_without_times()]
        return sorted(found, key=lambda each: each.times[-1])

    def _take(self, number: int, row: Mapping[str, Any], columns: Columns) -> None:
        if not columns.are_known:
            raise self.refuse(
                f"has {', '.join(row) or 'nothing'}: neither a session nor its products", number
            )
        session = str(number) if columns.session is None else _text(row[columns.session])
        item = None if columns.item is None else _text(row[columns.item])
        if not session or item == "":
            raise self.refuse(f"{columns.session} or {columns.item} is empty", number)
        if columns.items is not None:
            listed = _list(row[columns.items])
            if item is not None and not listed:
                raise self.refuse(f"{columns.items} is empty, so nothing is asked", number)
            if item is not None:
                self.cases.append(Case(tuple(listed), item))
            whole = [*listed, *filter(None, [item])]
            if len(whole) > len(self._lists.get(session, ())):  # RecBole has a row for each beginning
                self._lists[session] = whole
        elif item is not None:
            at = None if columns.time is None else _time(row[columns.time])
            if at is not None and math.isnan(at):
                told = _text(row[columns.time or ""])[:40]
                raise self.refuse(f"{columns.time} {told!r} is no Unix time in seconds, nor ISO 8601", number)
            self._events.setdefault(session, []).append((None if at is None else round(at), item))

    def _sessions_with_times(self) -> Iterator[Session]:
        for events in self._events.values():
            timed = [(time, item) for time, item in events if time is not None]
            if timed:
                timed.sort(key=lambda event: event[0])
                yield Session([item for _, item in timed], [time for time, _ in timed])

    def _sessions_without_times(self) -> Iterator[Session]:
        listed = (items for items in self._lists.values() if items)
        ordered = ([item for _, item in events] for events in self._events.values() if events[0][0] is None)
        begin = 0
        for items in chain(listed, ordered):
            times = range(begin, begin + len(items) * EVENT_MS, EVENT_MS)
            yield Session(items, times)
            begin = times[-1] + SESSION_MS


def _split(text: str, delimiter: str) -> list[str]:
    if '"' in text:
        return next(csv.reader([text], delimiter=delimiter))
    return text.split(delimiter)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _list(value: object) -> list[str]:
    """Products of a cell: a list, or a text parted by spaces, or by commas."""
    if isinstance(value, list):
        return [text for each in value if (text := _text(each))]
    text = _text(value).strip("[]")
    parted = re.split(r"[,\s]+", text) if "," in text and " " not in text.replace(", ", ",") else text.split()
    return [each.strip("'\"") for each in parted if each.strip("'\"")]


def _time(value: object) -> float:
    """Unix ms of a time in seconds or ms, or of ISO 8601; NaN for what is none."""
    text = _text(value)
    try:
        seconds = float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return math.nan
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if 0 <= seconds <= LATEST_MS / 1000:
        return seconds * 1000
    return seconds if 0 <= seconds <= LATEST_MS else math.nan
