"""Rows of CSV with any delimiter, and of Parquet."""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from typing import IO, Final

import pyarrow.parquet

from services.ops.feeds.rows import Broken, Row

DELIMITERS: Final = ",\t;|"
CELL_MAX: Final = 1_000_000  # characters: a quote that is never closed must not swallow the file
_QUOTED: Final = re.compile('"[^"]*"')
PARQUET_ROWS: Final = 2_000  # at a time


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
    """Each row, and how much of all rows has been read with it, 0 to 1."""
    table = pyarrow.parquet.ParquetFile(file)
    total, done = table.metadata.num_rows, 0
    for batch in table.iter_batches(PARQUET_ROWS):
        for row in batch.to_pylist():
            done += 1
            yield row, done / total
