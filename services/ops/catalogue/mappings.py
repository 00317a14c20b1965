"""The kinds of files that are known, and what their rows become: rows in, messages out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from schemas.events import Event
from schemas.products import Product
from services.ops.catalogue import public_datasets as datasets
from services.ops.catalogue import shop_feeds
from services.ops.catalogue.cell_values import BadValue, Defaults, NotForSale, merge_variants
from services.ops.catalogue.columns import Columns, product_from
from services.ops.catalogue.file_formats import Broken, Feed, Format, Row, UnreadableFile

__all__ = ["MAPPINGS", "BadRow", "Defaults", "Mapping", "detect", "events", "products"]


@dataclass(frozen=True, slots=True)
class Mapping:
    """One kind of file. `event` and `product` raise BadValue, KeyError, ValueError or ValidationError.

    `needs` are the columns that tell this kind from the others. Where a product's rows are `repeated`, as in
    files of events, those after the first are nothing to speak of.
    """

    name: str
    needs: frozenset[str]
    product: Callable[[Row, Defaults], Product]
    event: Callable[[Row, int], Event] | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no message: its number, counted from 1 without the header, why, and the cell at fault."""

    number: int
    reason: str
    value: str = ""

    def __str__(self) -> str:
        return f"row {self.number}: {self.reason}{f' ({self.value!r})' if self.value else ''}"


@dataclass(frozen=True, slots=True)
class OmittedRow:
    """A sound row that adds no product: a draft, or one more row about a product."""

    number: int
    reason: str


M = TypeVar("M")
Found = Product | BadRow | OmittedRow
REPEATED: Final = "the product was in an earlier row, which is as new"

# The order tells which is tried first.
MAPPINGS: Final = {
    mapping.name: mapping
    for mapping in (
        Mapping(
            "rees46", datasets.REES46_COLUMNS, datasets.rees46_product, datasets.rees46_event, repeated=True
        ),
        Mapping("uci", datasets.UCI_COLUMNS, datasets.uci_product, datasets.uci_event, repeated=True),
        Mapping("eddy", shop_feeds.EDDY_COLUMNS, shop_feeds.eddy_product, shop_feeds.eddy_event),
        Mapping("shopify", frozenset({"id", "title", "variants"}), shop_feeds.shopify_product),
        Mapping("google", frozenset({"id", "title", "price"}), shop_feeds.google_product),
    )
}


def detect(feed: Feed) -> Mapping:
    """The kind of a file, by its format and columns. Raises UnreadableFile when none fits."""
    first = feed.first()
    found = set(first) | set(shop_feeds.rename_columns(first))
    if feed.format is Format.XML and {"id", "title"} & found:
        return MAPPINGS["google"]
    for mapping in MAPPINGS.values():
        if mapping.needs <= found:
            return mapping
    raise UnreadableFile(
        f"{feed.path} has columns {sorted(first)}, which fit none of the mappings {', '.join(MAPPINGS)}: "
        "tell by --columns which is which (`python -m services.ops catalogue columns` prints an example)"
    )


def mapping_by(columns: Columns, feed: Feed) -> Mapping:
    """A mapping told by a file of columns. Raises UnreadableFile where the feed has not got them."""
    if feed.format in (Format.CSV, Format.PARQUET):  # rows of JSON and XML leave out what is empty
        present = set(feed.first())
        lacking = [
            name for name in columns.sources() if name not in present and name.split(".")[0] not in present
        ]
        if lacking:
            wanted, there = ", ".join(map(repr, lacking)), ", ".join(sorted(present))
            raise UnreadableFile(f"{feed.path} has no column {wanted}; it has {there}")
    return Mapping("columns", frozenset(), product_from(columns))


def events(feed: Feed, mapping: Mapping) -> Iterator[Event | BadRow]:
    """Every event of a file, in its order. Raises UnreadableFile for kinds without events."""
    make = mapping.event
    if make is None:
        raise UnreadableFile(f"{feed.path}: files of the kind {mapping.name} hold products, and no events")
    for number, row in enumerate(feed.rows(), start=1):
        found = _convert(row, number, lambda row: make(row, number))  # noqa: B023 - called at once
        if not isinstance(found, OmittedRow):
            yield found


def products(feed: Feed, mapping: Mapping, defaults: Defaults) -> Iterator[Product | BadRow]:
    """Every product of a file; one that a later row tells newer comes once more."""
    for _, found in entries(feed, mapping, defaults):
        if not isinstance(found, OmittedRow):
            yield found


def entries(feed: Feed, mapping: Mapping, defaults: Defaults) -> Iterator[tuple[int, Found]]:
    """What each row is, with its number. Of merged variants that lie together, one entry tells of all."""
    each = (
        (number, _convert(row, number, lambda row: mapping.product(row, defaults)))
        for number, row in enumerate(feed.rows(), start=1)
    )
    together = _together(each) if defaults.variants == "merged" else each
    seen: dict[str, int] = {}  # product → the newest `updated_at` so far
    for number, found in together:
        if not isinstance(found, Product):
            yield number, found
        elif found.updated_at <= seen.get(found.product_id, -1):
            yield number, OmittedRow(number, REPEATED)
        else:
            seen[found.product_id] = found.updated_at
            yield number, found


def _together(source: Iterable[tuple[int, Found]]) -> Iterator[tuple[int, Found]]:
    """Products with one id that follow each other as one, with the first's number."""
    held: tuple[int, Product] | None = None
    for number, found in source:
        if not isinstance(found, Product):
            yield number, found
        elif held is not None and held[1].product_id == found.product_id:
            held = held[0], merge_variants(held[1], found)
            yield number, OmittedRow(number, "a variant, merged into the product of its group")
        else:
            if held is not None:
                yield held
            held = number, found
    if held is not None:
        yield held


def _convert(row: Row | Broken, number: int, make: Callable[[Row], M]) -> M | BadRow | OmittedRow:
    if isinstance(row, Broken):
        return BadRow(number, row.reason)
    try:
        return make(row)
    except NotForSale as reason:
        return OmittedRow(number, str(reason))
    except BadValue as error:
        return BadRow(number, error.reason, error.value)
    except KeyError as error:
        return BadRow(number, f"column or word {error} is missing or not known")
    except (ValueError, TypeError, OverflowError, msgspec.ValidationError) as error:
        return BadRow(number, str(error))
