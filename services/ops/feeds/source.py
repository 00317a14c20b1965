"""A file of rows, whatever its format: told by its content, read a block at a time, .gz too."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, cast
from xml.etree.ElementTree import ParseError

import pyarrow as pa
from defusedxml.common import DefusedXmlException

from services.ops.feeds import json_rows, merchant_xml, tables
from services.ops.feeds.rows import Broken, CutOff, Row

HEAD_BYTES: Final = 64 * 1024
GZIP: Final = b"\x1f\x8b"
BOMS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class UnreadableFile(Exception):
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
            pa.ArrowException, csv.Error, OSError, EOFError, zlib.error, ParseError, DefusedXmlException,
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
            yield from merchant_xml.rows(data)
        elif self.format is Format.JSONL:
            yield from json_rows.lines(data)
        elif self.format is Format.PARQUET:
            for row, share in tables.parquet(data):
                self._share = share
                yield row
        else:
            text = stack.enter_context(io.TextIOWrapper(data, encoding=self._encoding, newline=""))
            is_csv = self.format is Format.CSV
            yield from tables.csv_rows(text, self._dialect.delimiter) if is_csv else json_rows.listed(text)

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
    if json_rows.LIST.match(beginning):
        return Format.JSON
    return Format.JSONL if beginning.startswith("{") else Format.CSV
