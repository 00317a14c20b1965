"""A file of rows, whatever its format: told by its content, read a block at a time, .gz too."""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, cast
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml.common import DefusedXmlException

from services.errors import OperationFailed
from services.ops.catalogue import xml_items
from services.ops.catalogue.delimited import ENCODING, NOT_UTF_8, UNDECODED, csv_rows
from services.ops.catalogue.rows import Broken, CutOff, Row, Tell, ignore

PARQUET_ROWS: Final = 2_000  # at a time


class BrokenParquet(Exception):
    """The file is no Parquet, or not whole; the text is pyarrow's."""


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


def lines(text: IO[str]) -> Iterator[Row | Broken]:
    """An object a line; empty lines are passed over. `text` was opened with errors="surrogateescape"."""
    decoder = msgspec.json.Decoder(Row)
    for number, line in enumerate(text, start=1):
        if not (line := line.removeprefix("\ufeff")).strip():
            continue
        try:
            yield decoder.decode(line)
        except UnicodeEncodeError:
            yield Broken(NOT_UTF_8, f"line {number}", ENCODING)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Broken(f"is no JSON object: {error}", f"line {number}")


def json_list(text: IO[str]) -> Iterator[Row | Broken]:
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
            undecoded = UNDECODED.search(buffer, at, end)
            yield Broken(NOT_UTF_8, f"object {number} of the list", ENCODING) if undecoded else found
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


HEAD_BYTES: Final = 64 * 1024
ZIP: Final = b"PK\x03\x04"
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
    """What a file cannot say of itself.

    None: the header line tells the delimiter; the BOM, or XML's declaration, the encoding; else it is UTF-8.
    """

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
            codecs.lookup(self._dialect.encoding or "utf-8")
        except LookupError:
            raise UnreadableFile(
                f"{self._dialect.encoding!r} is no encoding that Python knows; some are utf-8, cp1252, utf-16"
            ) from None
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

    def rows(self, tell: Tell = ignore) -> Iterator[Row | Broken]:
        """The rows in order. CSV cells are texts; an empty cell is None.

        `tell` is called for what is odd about a row, before that row comes.
        """
        try:
            with ExitStack() as stack:
                self._raw = stack.enter_context(self.path.open("rb"))
                yield from self._read(stack, self._raw, tell)
                self._share = 1.0
        except CutOff as error:
            raise UnreadableFile(f"{self.path}: {error}") from error
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"{self.path} is not {error.encoding}: {ENCODING}") from error
        except (
            BrokenParquet, OSError, EOFError, zlib.error, ParseError, DefusedXmlException,
        ) as error:  # fmt: skip
            raise UnreadableFile(f"{self.path} cannot be read as {self.format}: {error}") from error

    def first(self) -> Row:
        """The first row. Raises UnreadableFile, also where there is none or it is broken."""
        found = next(iter(self.rows()), None)
        if found is None:
            hint = ": no <item> and no <entry> in it" if self.format is Format.XML else ""
            raise UnreadableFile(f"{self.path} has no rows{hint}")
        if isinstance(found, Broken):
            why = ": ".join(filter(None, (found.value or "row 1", found.reason, found.remedy)))
            raise UnreadableFile(f"{self.path} cannot be read as {self.format}: {why}")
        return found

    def twin(self) -> "Feed":
        """The same file once more, for what must be known of all rows before the first is taken."""
        return Feed(self.path, self._dialect)

    def _read(self, stack: ExitStack, raw: IO[bytes], tell: Tell) -> Iterator[Row | Broken]:
        data = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw))) if self._is_gzip else raw
        if self.format is Format.XML:
            yield from xml_items.rows(data, self._dialect.encoding)
        elif self.format is Format.PARQUET:
            for row, share in parquet(data):
                self._share = share
                yield row
        else:
            # A byte of another encoding costs its row, not those after it.
            text = stack.enter_context(
                io.TextIOWrapper(data, encoding=self._encoding, errors="surrogateescape", newline="")
            )
            if self.format is Format.CSV:
                yield from csv_rows(text, self._dialect.delimiter, tell)
            else:
                yield from lines(text) if self.format is Format.JSONL else json_list(text)

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
    if head.startswith(ZIP):
        raise UnreadableFile(f"{path} is a workbook of Excel or a zip: save its table as CSV, or unpack it")
    beginning = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    if beginning.startswith("<"):
        return Format.XML
    if LIST.match(beginning):
        return Format.JSON
    return Format.JSONL if beginning.startswith("{") else Format.CSV
