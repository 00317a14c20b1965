"""A shop's own columns as products, told by a small TOML file; columns.toml beside this module is one."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.products import Availability, Product
from services.ops.catalogue import cell_values
from services.ops.catalogue.cell_values import Decimals, Defaults, product_of, readable, shorten
from services.ops.catalogue.file_formats import Dialect, Row, UnreadableFile

EXAMPLE: Final = Path(__file__).with_name("columns.toml")
REQUIRED: Final = ("product_id", "name", "price")
FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Product))

_PLACE: Final = re.compile(r"\{([^{}]+)\}")

FieldName = Literal[
    "product_id", "name", "price", "currency", "availability", "updated_at", "category", "description",
    "brand", "type", "image_url", "url", "tags", "markets", "popularity",
]  # fmt: skip
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Separators(_Part):
    """What parts the steps of a category, and the words of tags and markets."""

    category: Text = ">"
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


def product_from(columns: Columns) -> Callable[[Row, Defaults], Product]:
    """What makes a product from a row of such a feed. It raises BadValue."""
    cells = {field: _cell(told) for field, told in columns.columns.items()}

    def product(row: Row, defaults: Defaults) -> Product:
        fields: Row = {str(field): value for field, value in columns.constants.items()}
        fields |= {field: cell(row) for field, cell in cells.items()}
        return product_of(_fields(fields, columns, defaults), defaults)

    return product


def _fields(found: Row, columns: Columns, defaults: Defaults) -> Row:
    currency = found.get("currency") or columns.price.currency or defaults.currency
    amount, currency = cell_values.price(found.get("price"), str(currency), columns.price.decimal)
    separators = columns.separators
    return found | {
        **{
            name: _text(found.get(name))
            for name in ("product_id", "name", "brand", "type", "image_url", "url")
        },
        "name": readable(_text(found.get("name"))),
        "description": shorten(readable(_text(found.get("description")))),
        "price": amount,
        "currency": currency,
        "availability": cell_values.availability(found.get("availability"), columns.availability),
        "updated_at": cell_values.moment(found.get("updated_at")),
        "category": cell_values.path(found.get("category"), separators.category),
        "tags": cell_values.words(found.get("tags"), separators.tags),
        "markets": cell_values.words(found.get("markets"), separators.markets),
    }


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
