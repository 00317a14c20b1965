"""Rows of a feed made into products a second, by format, beside what reads the same file and maps nothing.

`python -m tests.benchmark.catalogue_load` prints the figures as JSON.
"""

import csv
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from xml.etree.ElementTree import iterparse
from xml.sax.saxutils import escape

import msgspec
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from schemas.products import Product
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.mappings import detect, entries

ROWS: Final = 100_000
DEFAULTS: Final = Defaults("EUR", 1_700_000_000_000)
PARQUET_ROWS: Final = 2_000

Row = dict[str, str]


class FormatFigures(msgspec.Struct, frozen=True):
    """One format. `bare` reads the file's rows with the library alone; sizes in MB."""

    rows_per_s: float
    bare_rows_per_s: float
    file_mb: float
    peak_grew_mb: float


class CatalogueFigures(msgspec.Struct, frozen=True):
    """By format: csv, jsonl and parquet of Eddy's columns, xml of a Google Merchant feed."""

    rows: int
    formats: dict[str, FormatFigures]


def measure(rows: int = ROWS) -> CatalogueFigures:
    """Bare first: what the file's pages cost to bring in is not ours to pay."""
    formats = {}
    with TemporaryDirectory() as folder:
        for name, (write, bare) in FORMATS.items():
            path = Path(folder) / f"feed.{name}"
            write(path, rows)
            bare_s = _seconds(lambda: _check_count(bare(path), rows))  # noqa: B023 - called at once
            peak = _peak_mb()
            ours_s = _seconds(lambda: _check_count(_products(path), rows))  # noqa: B023
            formats[name] = FormatFigures(
                rows_per_s=round(rows / ours_s),
                bare_rows_per_s=round(rows / bare_s),
                file_mb=round(path.stat().st_size / 1e6, 1),
                peak_grew_mb=round(_peak_mb() - peak, 1),
            )
            path.unlink()
    return CatalogueFigures(rows, formats)


def show(console: Console, figures: CatalogueFigures) -> None:
    """The figures as a table."""
    table = Table(f"{figures.rows:,} rows", "MB", "rows/s", "bare rows/s", "memory's peak grew by MB")
    for name, each in figures.formats.items():
        speeds = f"{each.rows_per_s:,.0f}", f"{each.bare_rows_per_s:,.0f}"
        table.add_row(name, f"{each.file_mb}", *speeds, f"{each.peak_grew_mb}")
    console.print(table)


def _products(path: Path) -> Iterator[Product]:
    feed = Feed(path)
    for _, found in entries(feed, detect(feed), DEFAULTS):
        if not isinstance(found, Product):
            raise TypeError(f"{path.name}: {found}")
        yield found


def _check_count(source: Iterator[object], expected: int) -> None:
    found = sum(1 for _ in source)
    if found != expected:
        raise ValueError(f"{found} rows were read, {expected} were written")


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _row(number: int) -> Row:
    """One row under Eddy's names."""
    return {
        "product_id": f"sku-{number:06d}",
        "name": f"Striped silk dress number {number}",
        "description": "Light, soft and made to be worn often. " * 8,
        "price": f"{10 + number % 90}.50",
        "availability": "out_of_stock" if number % 9 == 0 else "in_stock",
        "category": "Women > Dresses > Summer",
        "brand": f"Brand {number % 200}",
        "tags": "red|silk",
        "image_url": f"https://cdn.shop.example/{number}.jpg",
        "url": f"https://shop.example/products/{number}",
    }


def _write_csv(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(_row(0)))
        writer.writeheader()
        writer.writerows(map(_row, range(rows)))


def _write_jsonl(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.writelines(f"{json.dumps(_row(number))}\n" for number in range(rows))


def _write_parquet(path: Path, rows: int) -> None:
    schema = pa.schema([(name, pa.string()) for name in _row(0)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PARQUET_ROWS):
            part = [_row(number) for number in range(start, min(rows, start + PARQUET_ROWS))]
            writer.write_table(pa.Table.from_pylist(part, schema))


def _write_xml(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write('<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>')
        for number in range(rows):
            cells = _of_google(_row(number))
            fields = "".join(f"<g:{name}>{escape(text)}</g:{name}>" for name, text in cells.items())
            file.write(f"<item>{fields}</item>\n")
        file.write("</channel></rss>")


def _of_google(row: Row) -> Row:
    return {
        "id": row["product_id"],
        "title": row["name"],
        "description": row["description"],
        "price": f"{row['price']} EUR",
        "availability": row["availability"],
        "product_type": row["category"],
        "brand": row["brand"],
        "color": "Red",
        "material": "Silk",
        "image_link": row["image_url"],
        "link": row["url"],
    }


def _bare_csv(path: Path) -> Iterator[object]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def _bare_jsonl(path: Path) -> Iterator[object]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def _bare_parquet(path: Path) -> Iterator[object]:
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(PARQUET_ROWS):
        yield from batch.to_pylist()


def _bare_xml(path: Path) -> Iterator[object]:
    for _, element in iterparse(path):
        if element.tag == "item":
            yield {child.tag: child.text for child in element}
            element.clear()


FORMATS: Final[Mapping[str, tuple[Callable[[Path, int], None], Callable[[Path], Iterator[Any]]]]] = {
    "csv": (_write_csv, _bare_csv),
    "jsonl": (_write_jsonl, _bare_jsonl),
    "parquet": (_write_parquet, _bare_parquet),
    "xml": (_write_xml, _bare_xml),
}

if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(measure())).decode())
