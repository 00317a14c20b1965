"""A shop's own columns as products, told by a small TOML file; columns.toml beside this module is one."""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.products import Availability, Product
from services.ops.catalogue import texts
from services.ops.catalogue.cell_values import Defaults, NotForSale, moment, product_of
from services.ops.catalogue.file_formats import Dialect, UnreadableFile
from services.ops.catalogue.prices import Decimals
from services.ops.catalogue.rows import Row
from services.ops.catalogue.sale_prices import (
    ALWAYS,
    Period,
    Pricing,
    make_pricing,
    read_interval,
    read_period,
)
from services.ops.catalogue.texts import is_blank

EXAMPLE: Final = Path(__file__).with_name("columns.toml")
REQUIRED: Final = ("product_id", "name", "price")
# Beside a product's own fields: what its price, its place in the feed and whether it is shown follow from.
BESIDE: Final = ("sale_price", "sale_interval", "sale_starts", "sale_ends", "published", "group")
FIELDS: Final = (
    *(each.name for each in msgspec.structs.fields(Product) if each.name != "price_changes"),
    *BESIDE,
)
PUBLISHED: Final = frozenset(
    {"1", "true", "yes", "y", "active", "published", "publish", "enabled", "visible"}
)

_PLACE: Final = re.compile(r"\{([^{}]+)\}")

FieldName = Literal[
    "product_id", "name", "price", "currency", "availability", "updated_at", "category", "description",
    "brand", "type", "image_url", "url", "tags", "markets", "popularity",
    "sale_price", "sale_interval", "sale_starts", "sale_ends", "published", "group",
]  # fmt: skip
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Separators(_Part):
    """What parts the steps of a category, several categories, and the words of tags and markets."""

    category: Text = ">"
    categories: Text | None = None
    tags: Text = "|"
    markets: Text = "|"


class Prices(_Part):
    """How prices are written."""

    decimal: Decimals = "auto"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None


class FileDialect(_Part):
    """What a CSV file cannot say of itself."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Text | None = None


class Columns(_Part):
    """The whole file. A field comes from a column, a template of {columns}, or is a constant."""

    columns: dict[FieldName, Text]
    constants: dict[FieldName, str | float | list[str]] = {}
    separators: Separators = Separators()
    price: Prices = Prices()
    availability: dict[str, Availability] = {}
    published: dict[str, bool] = {}
    file: FileDialect = FileDialect()

    @model_validator(mode="after")
    def _each_field_once(self) -> Self:
        told = [*self.columns, *self.constants]
        if lacking := [name for name in REQUIRED if name not in told]:
            raise ValueError(f"no column for {', '.join(lacking)}, which every product needs")
        if twice := sorted({name for name in told if told.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: both a column and a constant")
        return self

    @property
    def dialect(self) -> Dialect:
        """For the reader of the feed."""
        return Dialect(self.file.delimiter, self.file.encoding)

    def sources(self) -> Iterator[str]:
        """Every column of the feed that is asked for."""
        for told in self.columns.values():
            yield from _PLACE.findall(told) or [told]


def read(path: Path) -> Columns:
    """The file's content. Raises UnreadableFile, which names each place that is wrong."""
    try:
        return Columns.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        wrong = [f"  {_place(each['loc'])}{_problem(each)}" for each in error.errors()]
        raise UnreadableFile("\n".join([f"{path}:", *wrong])) from None


class Table:
    """Rows of such a feed as products."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._cells = {str(field): _cell(told) for field, told in columns.columns.items()}

    def product(self, row: Row, defaults: Defaults) -> Product:
        """The product of a row. Raises BadValue, and NotForSale for what is not published."""
        columns, separators = self._columns, self._columns.separators
        words = {**columns.availability, **defaults.words}
        decimals = columns.price.decimal if columns.price.decimal != "auto" else defaults.decimals
        defaults = replace(defaults, words=words, decimals=decimals)
        found: Row = {str(field): value for field, value in columns.constants.items()}
        found |= {field: cell(row) for field, cell in self._cells.items()}
        self._require_published(found)
        pricing = _pricing(found, columns.price.currency or defaults.currency, defaults)
        category, shelves = _category(found.get("category"), separators)
        group = _text(found.get("group")) if defaults.variants == "merged" else ""
        fields: Row = {
            name: _text(found.get(name))
            for name in ("product_id", "name", "description", "brand", "type", "image_url", "url")
        }
        fields |= {
            "product_id": group or fields["product_id"],
            "price": pricing.price,
            "currency": pricing.currency,
            "price_changes": pricing.changes,
            "availability": defaults.availability(found, are_rows_whole=True),
            "updated_at": moment(found.get("updated_at")),
            "popularity": None if is_blank(found.get("popularity")) else found.get("popularity"),
            "category": category,
            "tags": texts.tags(texts.words(found.get("tags"), separators.tags), shelves, pricing.tags),
            "markets": texts.words(found.get("markets"), separators.markets),
        }
        return product_of(fields, defaults)

    def variant_of(self, row: Row) -> str | None:
        """The group of a row."""
        cell = self._cells.get("group")
        return None if cell is None else _text(cell(row)) or None

    def prices(self, row: Row) -> list[object]:
        """The cells that hold prices."""
        return [self._cells[name](row) for name in ("price", "sale_price") if name in self._cells]

    def id_of(self, row: Row) -> object:
        """The product's id."""
        cell = self._cells.get("product_id")
        return None if cell is None else _text(cell(row))

    def _require_published(self, found: Row) -> None:
        if "published" not in found:
            return
        word = _text(found["published"])
        own = {each.lower(): shown for each, shown in self._columns.published.items()}
        if not own.get(word.lower(), word.lower() in PUBLISHED):
            raise NotForSale(f"not published: {word or 'an empty cell'}")


def _pricing(found: Row, currency: str, defaults: Defaults) -> Pricing:
    def read_time() -> Period | None:
        period = read_period(found.get("sale_starts"), found.get("sale_ends"), defaults, "sale_ends")
        if period != ALWAYS:
            return period
        return read_interval(found.get("sale_interval"), defaults, "sale_interval")

    currency = _text(found.get("currency")) or currency
    regular = defaults.money(found.get("price"), currency)
    return make_pricing(regular, found.get("sale_price"), defaults, read_time)


def _category(value: object, separators: Separators) -> tuple[list[str], list[str]]:
    """The deepest of several categories, and the last steps of the others."""
    if separators.categories is None or not isinstance(value, str):
        return texts.path(value, separators.category), []
    return texts.deepest(
        [texts.path(each, separators.category) for each in value.split(separators.categories)]
    )


def _cell(told: str) -> Callable[[Row], Any]:
    names = _PLACE.findall(told)
    if not names:
        return lambda row: _find(row, told)

    def fill(row: Row) -> str | None:
        cells = {name: _find(row, name) for name in names}
        if all(cell in (None, "") for cell in cells.values()):
            return None
        text = _PLACE.sub(lambda place: _text(cells[place[1]]), told)
        return " ".join(text.split())

    return fill


def _find(row: Row, name: str) -> Any:  # noqa: ANN401 - a cell
    """A cell by its column's name, or inside another by `outer.inner`."""
    if name in row or "." not in name:
        return row.get(name)
    outer, _, inner = name.partition(".")
    within = row.get(outer)
    return _find(within, inner) if isinstance(within, dict) else None


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _place(location: tuple[int | str, ...]) -> str:
    names = [str(each) for each in location if each != "[key]" and each not in ("str", "float", "list[str]")]
    return f"{'.'.join(names)}: " if names else ""


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    if error["loc"][-1:] == ("[key]",):
        return f"is no field of a product; they are {', '.join(FIELDS)}"
    if error["type"] == "extra_forbidden":
        return "is not known here"
    return str(error["msg"]).removeprefix("Value error, ")
