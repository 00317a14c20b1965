"""Tables of text, a row a line: CSV and TSV as shops write them.

A quote that opens a cell may quote it, or mean inches. It quotes where a quote before a delimiter or the end
of a line closes it, with those inside doubled; else it is a letter, and that is told. In a feed that quotes
elsewhere, a quote that nothing closes up to the file's end is an error of its line, and of no other.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Final

from services.ops.catalogue.rows import Broken, CutOff, Row, Tell, ignore

DELIMITERS: Final = ",\t;|"
CELL_MAX: Final = 1_000_000  # characters: a quote that is never closed must not swallow the file
LINE_MAX: Final = 16 * CELL_MAX

UNCLOSED: Final = 'a quote (") opens a cell and the file ends inside it'
CLOSE_IT: Final = 'close it, or double it ("") where it means inches'
LETTER: Final = 'a quote (") opens a cell and does not close it: it is taken as a letter'
LONG_CELL: Final = "a cell in quotes runs over lines and delimiters"
FEWER: Final = "fewer cells than columns: those at the end are taken as empty"
TWICE: Final = "a column's name is there more than once: the first cell that is filled counts"
NOT_UTF_8: Final = "is not UTF-8"
ENCODING: Final = "name its encoding (--encoding cp1252, say), or save it as UTF-8"

_QUOTED: Final = re.compile('"[^"]*"')
_SEPARATOR_LINE: Final = re.compile(r'(?i)\s*"?sep=(.)"?\s*')  # what Excel writes and reads before the header
UNDECODED: Final = re.compile("[\udc80-\udcff]")


def delimiter_of(header: str) -> str:
    """The delimiter that is most often in the header outside quotes; a comma where none is."""
    return max(DELIMITERS, key=_QUOTED.sub("", header).count)


def csv_rows(text: IO[str], delimiter: str | None, tell: Tell = ignore) -> Iterator[Row | Broken]:
    """A row a line under the header; empty cells, and those of spaces, are None.

    Empty lines are passed over, before the header too. Without a delimiter a line `sep=;` before the header
    tells it, else the header does. `text` was opened with newline="" and errors="surrogateescape".
    """
    csv.field_size_limit(LINE_MAX)
    lines = _Lines(text)
    header = _first_filled(lines)
    if told := _SEPARATOR_LINE.fullmatch(header):
        delimiter = delimiter or told[1]
        header = _first_filled(lines)
    table = _Table(lines, delimiter or delimiter_of(header), tell)
    if UNDECODED.search(header):
        yield Broken(NOT_UTF_8, f"line {lines.number}", ENCODING)
        return
    names = [name.strip() for name in table.header(header)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        tell(TWICE, ", ".join(filter(None, twice)))
    while (line := lines.next()) is not None:
        if not line:
            continue
        begins = lines.number
        cells = table.record(line)
        if isinstance(cells, Broken):
            yield cells
        elif not table.is_decoded:
            yield Broken(NOT_UTF_8, f"line {begins}", ENCODING)
        elif len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            yield Broken("more cells than columns")
        else:
            if len(cells) < len(names):
                tell(FEWER, f"line {begins}")
            filled = [cell if cell.strip() else None for cell in cells]
            row: Row = dict(zip(names, filled, strict=False))
            if len(filled) < len(names):
                row = dict.fromkeys(names) | row
            for name in twice:
                row[name] = next(
                    (cell for own, cell in zip(names, filled, strict=False) if own == name and cell), None
                )
            yield row


def _first_filled(lines: "_Lines") -> str:
    """The next line that is neither empty nor a row of empty cells; empty at the end."""
    while (line := lines.next()) is not None:
        if line.strip(f'{DELIMITERS}" '):
            return line
    return ""


class _Lines:
    """Physical lines without their ends; some may be looked at before they are taken."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._ahead: deque[str] = deque()
        self.number = 0  # of the line taken last, from 1

    def next(self) -> str | None:
        """The next line, None at the end. Raises CutOff."""
        line = self._ahead.popleft() if self._ahead else self._read()
        self.number += line is not None
        return line

    def look(self, at: int) -> str | None:
        """The line so many places after the next."""
        while len(self._ahead) <= at:
            if (line := self._read()) is None:
                return None
            self._ahead.append(line)
        return self._ahead[at]

    def take(self, count: int) -> None:
        """Passes over lines that were looked at."""
        for _ in range(count):
            self.next()

    def _read(self) -> str | None:
        line = self._text.readline(LINE_MAX)
        if len(line) >= LINE_MAX:
            raise CutOff(f"line {self.number + len(self._ahead) + 1} is longer than {LINE_MAX:,} characters")
        if not line:
            return None
        if self.number == 0 and not self._ahead:
            line = line.removeprefix("\ufeff")
        return line.rstrip("\r\n")


class _Table:
    """Lines of one delimiter as records."""

    def __init__(self, lines: _Lines, delimiter: str, tell: Tell) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._tell = tell
        self._width = 0
        self._quotes = False  # whether some cell is quoted for certain
        self.is_decoded = True  # whether the last record was text in the file's encoding

    def header(self, line: str) -> list[str]:
        """The names of the columns."""
        found = self.record(line)
        cells = line.split(self._delimiter) if isinstance(found, Broken) else found
        self._width = len(cells)
        self._quotes |= '"' in line
        return cells

    def record(self, line: str) -> list[str] | Broken:
        """The cells of the record that begins with this line; the others that belong to it are taken, too."""
        found = self._parse_quotes(line) if '"' in line else line.split(self._delimiter)
        # Asked of the line where the record is no more than it: that is cheaper than of each cell.
        cells = found if isinstance(found, list) and any("\n" in cell for cell in found) else (line,)
        self.is_decoded = all(cell.isascii() or UNDECODED.search(cell) is None for cell in cells)
        return found

    def _parse_quotes(self, line: str) -> list[str] | Broken:
        cells, is_open = split(line, self._delimiter)
        if self._quotes and cells is not None and len(cells) == self._width:
            return cells  # as nearly always
        literal = line.split(self._delimiter)
        fits = len(literal) == self._width
        if cells is not None and (len(cells) == self._width or not fits or not self._width):
            self._note(line, cells)
            return cells
        if is_open and (over := self._over_lines(line, fits)) is not None:
            return over
        inner = _split_loosely(line, self._delimiter)
        if len(inner) == self._width and (self._quotes or not fits):
            self._tell(LETTER, _beginning(line))
            return inner
        if not fits and is_open and self._lines.look(0) is None:
            return Broken(UNCLOSED, f"line {self._lines.number}", CLOSE_IT)
        self._tell(LETTER, _beginning(line))
        return literal

    def _over_lines(self, line: str, fits: bool) -> list[str] | Broken | None:
        """The record of several lines that this one begins; None where its quote is a letter."""
        record, count = line, 0
        while (following := self._lines.look(count)) is not None and len(record) <= CELL_MAX:
            fits = fits and following.count(self._delimiter) + 1 == self._width
            if fits and not self._quotes:
                return None  # a row as any other, and so is the next: nothing runs over lines here
            record, count = f"{record}\n{following}", count + 1
            if '"' not in following:
                continue
            cells, is_open = split(record, self._delimiter)
            if cells is not None:
                if fits:
                    return None
                self._lines.take(count)
                if any("\n" in cell and self._delimiter in cell for cell in cells):
                    self._tell(LONG_CELL, _beginning(line))
                self._quotes = True
                return cells
            if not is_open:
                return None
        if self._quotes:
            return Broken(UNCLOSED, f"line {self._lines.number}", CLOSE_IT)
        return None

    def _note(self, line: str, cells: list[str]) -> None:
        # In TSV a cell in quotes may just be a name in quotes; one that holds what must be quoted is certain.
        certain = '""' in line or any(self._delimiter in cell for cell in cells)
        self._quotes |= certain or (
            self._delimiter != "\t" and '"' in line and not any('"' in c for c in cells)
        )


def split(record: str, delimiter: str) -> tuple[list[str] | None, bool]:
    """The cells, or None and whether a quote is still open at the end."""
    cell, opened, spaced = _patterns(delimiter)
    if "\n" not in record and not spaced.search(record):  # as nearly always; it takes a tenth of the time
        try:
            return next(csv.reader([record], delimiter=delimiter, strict=True)), False
        except csv.Error:
            pass
    cells: list[str] = []
    at = 0
    while True:
        found = cell.match(record, at)
        if found is None:
            return None, opened.match(record, at) is not None
        quoted, plain = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if at >= len(record):
            return cells, False
        at += 1


def _split_loosely(line: str, delimiter: str) -> list[str]:
    """Quotes inside a cell need not be doubled here: the one before a delimiter closes it."""
    end = re.escape(delimiter)
    found = re.findall(rf'(?:^|{end})(?:"(.*?)"(?={end}|\Z)|([^{end}]*))', line)
    return [quoted or plain for quoted, plain in found]


@lru_cache(16)
def _patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """A cell, an open quote, and a quote that opens behind spaces."""
    end = re.escape(delimiter)
    inside = r'[^"]*(?:""[^"]*)*'
    cell = rf'\s*"({inside})"[ ]*(?={end}|\Z)|(?!\s*")([^{end}]*)(?={end}|\Z)'
    return (
        re.compile(cell.replace(r"\s*", "[ ]*")),
        re.compile(rf'[ ]*"{inside}\Z'),
        re.compile(rf'(?:^|{end})[ ]+"'),
    )


def _beginning(line: str) -> str:
    return line[line.find('"') :][:60]
