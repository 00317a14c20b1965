"""The kinds of files that are known, and what their rows become: rows in, messages out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Final, TypeVar

import msgspec

from schemas.events import Event
from schemas.products import Product
from services.ops.catalogue import public_datasets as datasets
from services.ops.catalogue import shop_exports, shop_feeds
from services.ops.catalogue.cell_values import Defaults, Habits, NotForSale, merge_variants
from services.ops.catalogue.columns import Columns, Table
from services.ops.catalogue.file_formats import Feed, Format, UnreadableFile
from services.ops.catalogue.prices import Mark, find_habit, price_cells
from services.ops.catalogue.rows import BadValue, Broken, Row
from services.ops.catalogue.shop_exports import Groups
from services.ops.catalogue.texts import id_of
from services.ops.catalogue.woocommerce_columns import english_columns

__all__ = ["MAPPINGS", "BadRow", "Defaults", "Mapping", "detect", "events", "products"]

Numbered = tuple[int, Row]
TellRow = Callable[[int, str, str], None]  # the number of a row, what is odd about it, the text at fault


@dataclass(frozen=True, slots=True)
class Mapping:
    """One kind of file. Its functions raise BadValue, KeyError, ValueError or ValidationError.

    `needs` are the columns that tell this kind from the others, one of several sets. Where a product's rows
    are `repeated`, as in files of events, those after the first are nothing to speak of. `variant_of` names
    the group of a row that may be one of several variants. Where a product is made of several rows,
    `groups` tells which, and `assemble` makes it from them.
    """

    name: str
    needs: tuple[frozenset[str], ...]
    product: Callable[[Row, Defaults], Product]
    event: Callable[[Row, int], Event] | None = None
    repeated: bool = False
    variant_of: Callable[[Row], str | None] = lambda _row: None
    groups: Callable[[Iterable[Numbered]], Groups] | None = None
    assemble: Callable[[Sequence[Row], Defaults], Product] | None = None
    prices: Callable[[Row], Iterable[object]] = price_cells
    id_of: Callable[[Row], object] = lambda row: row.get("product_id")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no message: its number, counted from 1 without the header, why, and the cell at fault.

    `product_ids` are those of the products that it is about, as far as it tells them.
    """

    number: int
    reason: str
    value: str = ""
    remedy: str = ""
    product_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        value = f" ({self.value!r})" if self.value else ""
        return f"row {self.number}: {self.reason}{value}{f': {self.remedy}' if self.remedy else ''}"


@dataclass(frozen=True, slots=True)
class OmittedRow:
    """A sound row that adds no product: a draft, or one more row about a product."""

    number: int
    reason: str


M = TypeVar("M")
Found = Product | BadRow | OmittedRow
REPEATED: Final = "the product was in an earlier row, which is as new"
VARIANT: Final = "a variant, merged into the product of its group"


def _export(
    name: str,
    needs: tuple[frozenset[str], ...],
    groups: Callable[[Iterable[Numbered]], Groups],
    assemble: Callable[[Sequence[Row], Defaults], Product],
    ids: Sequence[str],
    *,
    english: Callable[[Row], Row] = shop_feeds.rename_columns,
) -> Mapping:
    """An export whose products may be made of several rows, its columns under their `english` names."""
    return Mapping(
        name,
        needs,
        lambda row, defaults: assemble([row], defaults),
        groups=groups,
        assemble=assemble,
        prices=lambda row: price_cells(english(row)),
        id_of=lambda row: id_of(english(row), *ids),
    )


# The order tells which is tried first.
MAPPINGS: Final = {
    mapping.name: mapping
    for mapping in (
        Mapping(
            "rees46",
            (datasets.REES46_COLUMNS,),
            datasets.rees46_product,
            datasets.rees46_event,
            repeated=True,
        ),
        Mapping("uci", (datasets.UCI_COLUMNS,), datasets.uci_product, datasets.uci_event, repeated=True),
        Mapping("eddy", (shop_feeds.EDDY_COLUMNS,), shop_feeds.eddy_product, shop_feeds.eddy_event),
        _export(
            "woocommerce",
            (shop_exports.WOOCOMMERCE_COLUMNS,),
            shop_exports.woocommerce_groups,
            shop_exports.woocommerce_product,
            ("id", "sku"),
            english=english_columns,
        ),
        _export(
            "magento",
            (shop_exports.MAGENTO_COLUMNS,),
            shop_exports.magento_groups,
            shop_exports.magento_product,
            ("sku",),
        ),
        _export(
            "shopify_csv",
            (shop_exports.SHOPIFY_COLUMNS, shop_exports.SHOPIFY_NEW_COLUMNS),
            shop_exports.shopify_groups,
            shop_exports.shopify_table_product,
            ("handle", "url_handle"),
        ),
        Mapping(
            "shopify",
            (frozenset({"id", "title", "variants"}),),
            shop_feeds.shopify_product,
            id_of=lambda row: row.get("id"),
        ),
        Mapping(
            "google",
            (frozenset({"id", "title", "price"}),),
            shop_feeds.google_product,
            variant_of=shop_feeds.google_group,
            id_of=lambda row: shop_feeds.rename_columns(row).get("id"),
        ),
    )
}
OF_EVENTS: Final = ({"event_id", "type"}, {"type", "visitor_id"})
LOAD_PRODUCTS: Final = "python -m services.ops catalogue load"
LOAD_EVENTS: Final = "python -m services.ops events load"


def detect(feed: Feed, *, of_events: bool = False) -> Mapping:
    """The kind of a file, by its format and columns. Raises UnreadableFile when none fits.

    Also where its rows are products and events are wanted (`of_events`), or the other way round.
    """
    first = feed.first()
    found = set(first) | set(shop_feeds.rename_columns(first))
    mapping = _fitting(feed, found)
    if mapping is None and set(english_columns(first)) >= shop_exports.WOOCOMMERCE_COLUMNS:
        mapping = MAPPINGS["woocommerce"]  # in the language of the shop's back office
    if any(needed <= found for needed in OF_EVENTS):  # Eddy's own form; a search, say, names no product
        if not of_events and "name" not in found:
            raise UnreadableFile(f"{feed.path} holds events, and no products: {LOAD_EVENTS} {feed.path}")
        mapping = mapping or MAPPINGS["eddy"]
    elif of_events and mapping is MAPPINGS["eddy"]:
        raise UnreadableFile(f"{feed.path} holds products, and no events: {LOAD_PRODUCTS} {feed.path}")
    if mapping is not None and of_events:
        _require_events(feed, mapping)
    if mapping is not None:
        return mapping
    remedy = "tell by --columns which is which (`python -m services.ops catalogue columns` prints an example)"
    if of_events:
        remedy = "name them as events have them: event_id, type, visitor_id, product_id, occurred_at"
    raise UnreadableFile(
        f"{feed.path} has columns {sorted(first)}, which fit none of the mappings {', '.join(MAPPINGS)}: "
        f"{remedy}"
    )


def _require_events(feed: Feed, mapping: Mapping) -> None:
    if mapping.event is None:
        raise UnreadableFile(
            f"{feed.path}: files of the kind {mapping.name} hold products, and no events: "
            f"{LOAD_PRODUCTS} {feed.path}"
        )


def _fitting(feed: Feed, found: set[str]) -> Mapping | None:
    for mapping in MAPPINGS.values():
        if any(needed <= found for needed in mapping.needs):
            return mapping
    return MAPPINGS["google"] if feed.format is Format.XML and {"id", "title"} & found else None


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
    table = Table(columns)
    return Mapping(
        "columns",
        (),
        table.product,
        variant_of=table.variant_of,
        prices=table.prices,
        id_of=table.id_of,
    )


def events(feed: Feed, mapping: Mapping) -> Iterator[Event | BadRow]:
    """Every event of a file, in its order. Raises UnreadableFile for kinds without events."""
    _require_events(feed, mapping)
    make = mapping.event
    assert make is not None
    for number, row in enumerate(feed.rows(), start=1):
        found = _convert(row, number, lambda row: make(row, number))  # noqa: B023 - called at once
        if not isinstance(found, OmittedRow):
            yield found


def products(feed: Feed, mapping: Mapping, defaults: Defaults) -> Iterator[Product | BadRow]:
    """Every product of a file; one that a later row tells newer comes once more."""
    for _, found in entries(feed, mapping, defaults):
        if not isinstance(found, OmittedRow):
            yield found


def entries(
    feed: Feed, mapping: Mapping, defaults: Defaults, tell: TellRow | None = None
) -> Iterator[tuple[int, Found]]:
    """What each row is, with its number; `tell` hears before that what is odd about it.

    A product that is made of several rows comes with the number of the first, once the last was read.
    """
    made = _Entries(feed, mapping, defaults, tell)
    seen: dict[str, int] = {}  # product → the newest `updated_at` so far
    for number, found in made.read():
        if not isinstance(found, Product):
            yield number, found
        elif found.updated_at <= seen.get(found.product_id, -1):
            yield number, OmittedRow(number, REPEATED)
        else:
            seen[found.product_id] = found.updated_at
            yield number, found


class _FileHabits(Habits):
    """Reads the whole file, but only where a row leaves a question."""

    def __init__(self, feed: Feed, mapping: Mapping) -> None:
        self._feed = feed
        self._mapping = mapping

    @cached_property
    def decimal_mark(self) -> Mark | None:
        return find_habit(self._feed.twin().rows(), self._mapping.prices)

    def tells(self, column: str) -> bool:
        return column in self._columns

    @cached_property
    def _columns(self) -> frozenset[str]:
        found = set[str]()
        for row in self._feed.twin().rows():
            if not isinstance(row, Broken):
                found.update(row)
        return frozenset(found | set(shop_feeds.rename_columns(dict.fromkeys(found))))


class _Entries:
    def __init__(self, feed: Feed, mapping: Mapping, defaults: Defaults, tell: TellRow | None) -> None:
        self._feed = feed
        self._mapping = mapping
        self._tell = tell
        self._odd: list[tuple[str, str]] = []
        self._defaults = replace(
            defaults, habits=_FileHabits(feed, mapping), tell=lambda *odd: self._odd.append(odd)
        )
        self._make = lambda row: mapping.product(row, self._defaults)
        self._groups = self._find_groups()
        self._last = {key: number for number, keys in self._groups.items() for key in keys}
        self._first: dict[str, int] = {}
        self._rows: dict[str, list[Row]] = {}
        self._variants: dict[str, dict[object, Product]] = {}  # by group and own id

    def read(self) -> Iterator[tuple[int, Found]]:
        """What each row is, in the order in which it is known."""
        for number, row in enumerate(self._feed.rows(lambda *odd: self._odd.append(odd)), start=1):
            if self._odd:
                self._tell_odd(number)
            keys = self._groups.get(number, ())
            if keys and not isinstance(row, Broken):
                yield from self._take(number, row, keys)
                continue
            found = self._convert(number, row)
            if self._odd:
                self._tell_odd(number)
            yield number, found

    def _find_groups(self) -> Groups:
        """Which rows belong together, by a first look at the whole file where there may be some that do."""
        mapping = self._mapping
        if mapping.groups is None and self._defaults.variants == "separate":
            return {}
        rows = enumerate(self._feed.twin().rows(), start=1)
        sound = ((number, row) for number, row in rows if not isinstance(row, Broken))
        if mapping.groups is not None:
            return mapping.groups(sound)
        return {number: (key,) for number, row in sound if (key := mapping.variant_of(row)) is not None}

    def _take(self, number: int, row: Row, keys: tuple[str, ...]) -> Iterator[tuple[int, Found]]:
        home = keys[0]
        if self._mapping.assemble is not None:
            for key in keys:
                self._rows.setdefault(key, []).append(row)
        else:
            found = self._convert(number, row)
            if isinstance(found, Product):
                variants, own = self._variants.setdefault(home, {}), self._mapping.id_of(row)
                if own not in variants or found.updated_at > variants[own].updated_at:
                    variants[own] = found
            else:
                yield from self._pass_on(number, found)
                home = ""
        if home and self._first.setdefault(home, number) != number:
            yield from self._pass_on(number, OmittedRow(number, VARIANT))
        for key in keys:
            yield from self._finish(number, key)

    def _finish(self, number: int, key: str) -> Iterator[tuple[int, Found]]:
        """The product of a group whose last row was read."""
        if self._last.get(key) != number:
            return
        first, rows = self._first.get(key, number), self._rows.pop(key, None)
        if rows is not None and self._mapping.assemble is not None:
            make = self._mapping.assemble
            found = _convert(rows[0], first, lambda _row: make(rows, self._defaults))
            yield from self._pass_on(first, self._with_ids(found, rows))
        elif (variants := self._variants.pop(key, None)) is not None:
            yield from self._pass_on(first, reduce(merge_variants, variants.values()))

    def _convert(self, number: int, row: Row | Broken) -> Found:
        found: Found = _convert(row, number, self._make)
        return self._with_ids(found, [row]) if isinstance(found, BadRow) and isinstance(row, dict) else found

    def _with_ids(self, found: Found, rows: Sequence[Row]) -> Found:
        if not isinstance(found, BadRow):
            return found
        ids = [str(shop_feeds.identifier(self._mapping.id_of(row)) or "").strip() for row in rows]
        if self._defaults.variants == "merged":
            ids += [self._mapping.variant_of(row) or "" for row in rows]
        return replace(found, product_ids=tuple(filter(None, ids)))

    def _pass_on(self, number: int, found: Found) -> Iterator[tuple[int, Found]]:
        self._tell_odd(number)
        yield number, found

    def _tell_odd(self, number: int) -> None:
        if self._tell is not None:
            for what, example in self._odd:
                self._tell(number, what, example)
        self._odd.clear()


def _convert(row: Row | Broken, number: int, make: Callable[[Row], M]) -> M | BadRow | OmittedRow:
    if isinstance(row, Broken):
        return BadRow(number, row.reason, row.value, row.remedy)
    try:
        return make(row)
    except NotForSale as reason:
        return OmittedRow(number, str(reason))
    except BadValue as error:
        return BadRow(number, error.reason, error.value, error.remedy)
    except KeyError as error:
        return BadRow(number, f"column or word {error} is missing or not known")
    except (ValueError, TypeError, OverflowError, msgspec.ValidationError) as error:
        return BadRow(number, str(error))
