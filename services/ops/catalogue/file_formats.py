"""A file of rows, whatever its format: told by its content, read a block at a time, .gz too."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, cast
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from services.errors import OperationFailed

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be read; those after it can."""

    reason: str


class CutOff(Exception):
    """Nothing after this place can be read; the text says why."""


DELIMITERS: Final = ",\t;|"
CELL_MAX: Final = 1_000_000  # characters: a quote that is never closed must not swallow the file
_QUOTED: Final = re.compile('"[^"]*"')
PARQUET_ROWS: Final = 2_000  # at a time


class BrokenParquet(Exception):
    """The file is no Parquet, or not whole; the text is pyarrow's."""


def csv_rows(text: IO[str], delimiter: str | None) -> Iterator[Row | Broken]:
    """A row a line under the header; empty cells are None. Without a delimiter the header line tells it."""
    csv.field_size_limit(CELL_MAX)
    header = text.readline(CELL_MAX).removeprefix("\ufeff")
    reader = csv.reader(chain([header], text), delimiter=delimiter or delimiter_of(header))
    names = [name.strip() for name in next(reader, [])]
    for cells in reader:
        if not cells:
            continue  # an empty line
        if len(cells) > len(names):
            yield Broken("more cells than columns")
            continue
        row: Row = dict.fromkeys(names)
        row.update((name, cell or None) for name, cell in zip(names, cells, strict=False))
        yield row


def delimiter_of(header: str) -> str:
    """The delimiter that is most often in the header outside quotes; a comma where none is."""
    return max(DELIMITERS, key=_QUOTED.sub("", header).count)


def parquet(file: IO[bytes]) -> Iterator[tuple[Row, float]]:
    """Each row, and how much of all rows has been read with it, 0 to 1. Raises BrokenParquet."""
    import pyarrow.parquet  # noqa: PLC0415 - half a second, which other feeds need not wait

    try:
        table = pyarrow.parquet.ParquetFile(file)
        total, done = table.metadata.num_rows, 0
        for batch in table.iter_batches(PARQUET_ROWS):
            for row in batch.to_pylist():
                done += 1
                yield row, done / total
    except pyarrow.ArrowException as error:
        raise BrokenParquet(str(error)) from error


LIST: Final = re.compile(r'\s*(?:\{\s*"products"\s*:\s*)?\[')  # a list, or Shopify's {"products": [
CHUNK: Final = 256 * 1024  # characters
OBJECT_MAX: Final = 16 * 1024 * 1024  # characters of one object
_GAP: Final = re.compile(r"[\s,]*")


def lines(file: IO[bytes]) -> Iterator[Row | Broken]:
    """An object a line; empty lines are passed over."""
    decoder = msgspec.json.Decoder(Row)
    for number, line in enumerate(file):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text.strip():
            continue
        try:
            yield decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Broken(f"is no JSON object: {error}")


def json_list(text: IO[str]) -> Iterator[Row]:
    """The objects of a list, or of the list named products. Raises CutOff where the text is no JSON."""
    decoder = json.JSONDecoder()
    buffer = text.read(CHUNK).removeprefix("\ufeff")
    opening = LIST.match(buffer)
    if opening is None:
        raise CutOff('it is no list of objects, nor {"products": [ … ]}')
    at, number = opening.end(), 1
    while True:
        at = _end_of_gap(buffer, at)
        if at < len(buffer) and buffer[at] == "]":
            return
        found, end = _object(decoder, buffer, at)
        if found is not None:
            yield found
            at, number = end, number + 1
            continue
        more = text.read(CHUNK)
        buffer, at = buffer[at:] + more, 0
        if not more or len(buffer) > OBJECT_MAX:
            raise CutOff(f"object {number} of the list is no JSON, or is cut off")


def _end_of_gap(buffer: str, at: int) -> int:
    gap = _GAP.match(buffer, at)
    return gap.end() if gap else at


def _object(decoder: json.JSONDecoder, buffer: str, at: int) -> tuple[Row | None, int]:
    """The object that begins here, and where it ends; None where the buffer does not hold all of it."""
    if at >= len(buffer):
        return None, at
    if buffer[at] != "{":
        raise CutOff(f"the list has something other than objects: {buffer[at : at + 20]!r}")
    try:
        found, end = decoder.raw_decode(buffer, at)
    except (json.JSONDecodeError, RecursionError):
        return None, at
    return found, end


GOOGLE: Final = "http://base.google.com/ns/1.0"
ITEMS: Final = frozenset({"item", "entry"})  # of RSS, of Atom


def rows(file: IO[bytes]) -> Iterator[Row]:
    """A row an item: names without namespace. What comes more than once is a list; g:title hides title."""
    parents: list[Element] = []
    for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            parents.append(element)
            continue
        parents.pop()
        if _name(element.tag)[1] in ITEMS:
            yield _row(element)
            element.clear()
            if parents:
                parents[-1].clear()  # else every item ever read would hang there


def _row(item: Element) -> Row:
    found: dict[str, list[str]] = {}
    of_google: set[str] = set()
    for child in item:
        namespace, name = _name(child.tag)
        text = (child.text or "").strip() or child.get("href", "")  # Atom's links are attributes
        if len(child) or not text:
            continue  # a group such as g:shipping
        if namespace == GOOGLE and name not in of_google:
            of_google.add(name)
            found[name] = [text]
        elif name not in found or namespace == GOOGLE:
            found.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


@lru_cache(1024)  # a feed has a few dozen, in every item
def _name(tag: str) -> tuple[str, str]:
    namespace, brace, name = tag.rpartition("}")
    return (namespace.lstrip("{"), name) if brace else ("", tag)


HEAD_BYTES: Final = 64 * 1024
GZIP: Final = b"\x1f\x8b"
BOMS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class UnreadableFile(OperationFailed):
    """The file is none of the kinds that can be loaded; the text says what was found."""


class Format(StrEnum):
    """How rows are written down."""

    CSV = "csv"  # with any delimiter: TSV too
    JSONL = "jsonl"
    JSON = "json"  # one list of objects, or {"products": […]}
    PARQUET = "parquet"
    XML = "xml"


# What a name promises; .csv, .tsv, .txt and .json promise nothing that the content does not show.
SUFFIXES: Final = {"jsonl": Format.JSONL, "ndjson": Format.JSONL, "parquet": Format.PARQUET}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a file cannot say of itself. None: the header line tells the delimiter, the BOM the encoding."""

    delimiter: str | None = None
    encoding: str | None = None


class Feed:
    """A file of rows. Raises UnreadableFile, from the constructor too, for what cannot be read."""

    def __init__(self, path: Path, dialect: Dialect | None = None) -> None:
        self.path = path
        self._dialect = dialect or Dialect()
        self._share = 0.0
        self._raw: IO[bytes] | None = None
        try:
            self._size = path.stat().st_size
            self._is_gzip = _starts(path, GZIP)
            head = self._head()
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(f"{path} cannot be read: {error}") from error
        self._encoding = self._dialect.encoding or next(
            (name for bom, name in BOMS.items() if head.startswith(bom)), "utf-8"
        )
        self.format = _format(path, head, self._encoding)

    @property
    def share(self) -> float:
        """How much the newest `rows` has read, 0 to 1: of the file's bytes, or of Parquet's rows."""
        if self.format is not Format.PARQUET and self._raw is not None and not self._raw.closed:
            self._share = self._raw.tell() / self._size if self._size else 1.0
        return min(self._share, 1.0)

    def rows(self) -> Iterator[Row | Broken]:
        """The rows in order. CSV cells are texts; an empty cell is None."""
        try:
            with ExitStack() as stack:
                self._raw = stack.enter_context(self.path.open("rb"))
                yield from self._read(stack, self._raw)
                self._share = 1.0
        except CutOff as error:
            raise UnreadableFile(f"{self.path}: {error}") from error
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{self.path} is not {error.encoding}: save it as UTF-8, or name its encoding in --columns"
            ) from error
        except (
            BrokenParquet, csv.Error, OSError, EOFError, zlib.error, ParseError, DefusedXmlException,
        ) as error:  # fmt: skip
            raise UnreadableFile(f"{self.path} cannot be read as {self.format}: {error}") from error

    def first(self) -> Row:
        """The first row. Raises UnreadableFile, also where there is none or it is broken."""
        found = next(iter(self.rows()), None)
        if found is None:
            hint = ": no <item> and no <entry> in it" if self.format is Format.XML else ""
            raise UnreadableFile(f"{self.path} has no rows{hint}")
        if isinstance(found, Broken):
            raise UnreadableFile(f"{self.path} cannot be read as {self.format}: row 1: {found.reason}")
        return found

    def _read(self, stack: ExitStack, raw: IO[bytes]) -> Iterator[Row | Broken]:
        data = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw))) if self._is_gzip else raw
        if self.format is Format.XML:
            yield from rows(data)
        elif self.format is Format.JSONL:
            yield from lines(data)
        elif self.format is Format.PARQUET:
            for row, share in parquet(data):
                self._share = share
                yield row
        else:
            text = stack.enter_context(io.TextIOWrapper(data, encoding=self._encoding, newline=""))
            is_csv = self.format is Format.CSV
            yield from csv_rows(text, self._dialect.delimiter) if is_csv else json_list(text)

    def _head(self) -> bytes:
        if not self._is_gzip:
            if self.path.suffix == ".gz":
                raise UnreadableFile(f"{self.path} is not compressed by gzip")
            with self.path.open("rb") as file:
                return file.read(HEAD_BYTES)
        with gzip.open(self.path, "rb") as file:
            return file.read(HEAD_BYTES)


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _format(path: Path, head: bytes, encoding: str) -> Format:
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lstrip(".").lower()
    is_parquet = head.startswith(b"PAR1")
    if suffix == "parquet" and not is_parquet:
        raise UnreadableFile(f"{path} cannot be read as parquet: it does not begin with PAR1")
    if is_parquet or suffix in SUFFIXES:
        return Format.PARQUET if is_parquet else SUFFIXES[suffix]
    try:
        beginning = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    except LookupError:
        raise UnreadableFile(f"{encoding!r} is no encoding that Python knows") from None
    if beginning.startswith("<"):
        return Format.XML
    if LIST.match(beginning):
        return Format.JSON
    return Format.JSONL if beginning.startswith("{") else Format.CSV
