"""Rows of a CSV, JSONL or Parquet file (.gz too), a block at a time: a file may be larger than memory."""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet

Row = dict[str, Any]

BLOCK_BYTES: Final = 4 * 1024 * 1024


class UnreadableFile(Exception):
    """The file is none of the kinds that can be loaded; the text says what was found."""


def rows(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """The file's rows in order. CSV cells are texts; an empty cell is None. Raises UnreadableFile."""
    try:
        yield from _READERS[_kind(path)](path, delimiter)
    except (pa.ArrowInvalid, csv.Error, OSError, EOFError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read as {_kind(path)}: {error}") from error


def columns(path: Path) -> list[str]:
    """The names in the first row. Raises UnreadableFile, also for an empty file."""
    delimiter = ";" if _kind(path) == "csv" and _first_line(path).count(";") > 3 else ","
    first = next(rows(path, delimiter), None)
    if first is None:
        raise UnreadableFile(f"{path} has no rows")
    return list(first)


def _kind(path: Path) -> str:
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lstrip(".").lower()
    kind = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}.get(suffix)
    if kind is None:
        raise UnreadableFile(
            f"{path}: the name must end in .csv, .jsonl or .parquet (or one of them with .gz)"
        )
    return kind


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _first_line(path: Path) -> str:
    try:
        with _opened(path) as file:
            return file.readline(BLOCK_BYTES).decode(errors="replace")
    except (OSError, EOFError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error


def _csv(path: Path, delimiter: str) -> Iterator[Row]:
    with _opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        for row in csv.DictReader(text, delimiter=delimiter):
            yield {name: cell or None for name, cell in row.items()}


def _jsonl(path: Path, _delimiter: str) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(Row)
    with _opened(path) as file:
        yield from (decoder.decode(line) for line in file if line.strip())


def _parquet(path: Path, _delimiter: str) -> Iterator[Row]:
    with _opened(path) as file:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(10_000):
            yield from batch.to_pylist()


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
