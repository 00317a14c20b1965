"""Which feed is meant, and how it is to be read: the options that `catalogue load` and `check` share."""

from collections.abc import Mapping as Words
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from schemas.products import Availability
from schemas.times import EARLIEST_MS
from services.ops.catalogue import columns as columns_file
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.file_formats import Dialect, Feed, Format
from services.ops.catalogue.mappings import MAPPINGS, Mapping, detect, mapping_by

STATES: Final[tuple[Availability, ...]] = get_args(Availability)


class CatalogueMapping(StrEnum):
    """The kinds of feeds known, for the command line."""

    AUTO = "auto"
    EDDY = "eddy"
    GOOGLE = "google"
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    MAGENTO = "magento"
    REES46 = "rees46"
    UCI = "uci"


class VariantsOption(StrEnum):
    """What becomes of the rows of one item group of Google's."""

    SEPARATE = "separate"
    MERGED = "merged"


class DecimalOption(StrEnum):
    """What parts whole and fraction of a price."""

    AUTO = "auto"
    POINT = "."
    COMMA = ","


File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV, JSONL, JSON, Parquet or XML, .gz too")
]
MappingOption = Annotated[
    CatalogueMapping, typer.Option(help="the feed's kind; auto tells by its format and columns")
]
ColumnsOption = Annotated[
    Path | None,
    typer.Option(
        "--columns", exists=True, dir_okay=False,
        help="TOML file that tells which column is which; `catalogue columns` prints an example",
    ),
]  # fmt: skip
CurrencyOption = Annotated[
    str, typer.Option(metavar="CODE", help="ISO 4217, for prices that name none (all of Shopify's)")
]
Variants = Annotated[
    VariantsOption, typer.Option(help="Google's item groups: a product a row, or one for a group")
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="of a text that is not UTF-8: cp1252, iso-8859-2, utf-16, …")
]
Decimal = Annotated[
    DecimalOption,
    typer.Option(help="the decimal mark of prices; auto tells by all prices of the file"),
]
AvailabilityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--availability", metavar="[WORD=]STATE",
        help="what a word means, or, without one, an empty cell: in_stock, out_of_stock, preorder",
    ),
]  # fmt: skip


ShopUrl = Annotated[
    str | None,
    typer.Option(
        "--shop-url",
        metavar="URL",
        help="where the shop is, for links and pictures that are no whole addresses",
    ),
]


@dataclass(frozen=True, slots=True)
class FeedChoice:
    """A feed with all that decides what its rows become."""

    feed: Feed
    mapping: Mapping
    defaults: Defaults


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What the command line says about a feed."""

    mapping: CatalogueMapping
    columns: Path | None
    currency: str
    variants: VariantsOption
    encoding: str | None
    decimal: DecimalOption
    availability: Sequence[str]
    shop_url: str | None = None

    def choose(self, file: Path) -> FeedChoice:
        """The feed. Raises UnreadableFile, and BadParameter for options that make no sense."""
        currency = self.currency
        if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
            raise typer.BadParameter("must be three capital letters, such as EUR", param_hint="--currency")
        if self.columns is not None and self.mapping is not CatalogueMapping.AUTO:
            raise typer.BadParameter("tells the columns already: leave --mapping out", param_hint="--columns")
        # Some archives unpack to 1970 or 1980.
        file_time = max(EARLIEST_MS, int(file.stat().st_mtime * 1000))
        if self.shop_url is not None and not self.shop_url.startswith(("http://", "https://")):
            raise typer.BadParameter("must begin with http:// or https://", param_hint="--shop-url")
        defaults = Defaults(
            currency,
            file_time,
            self.variants.value,
            self.decimal.value,
            words_of(self.availability),
            self.shop_url,
        )
        if self.columns is not None:
            told = columns_file.read(self.columns)
            feed = Feed(file, Dialect(told.dialect.delimiter, self.encoding or told.dialect.encoding))
            return FeedChoice(feed, mapping_by(told, feed), defaults)
        feed = Feed(file, Dialect(encoding=self.encoding))
        if self.mapping is CatalogueMapping.AUTO:
            return FeedChoice(feed, detect(feed), defaults)
        is_table = self.mapping is CatalogueMapping.SHOPIFY and feed.format is Format.CSV
        return FeedChoice(feed, MAPPINGS["shopify_csv" if is_table else self.mapping.value], defaults)


def words_of(told: Sequence[str]) -> Words[str, Availability]:
    """The words of `--availability`, and "" for empty cells. Raises BadParameter."""
    words: dict[str, Availability] = {}
    for each in told:
        word, _, named = each.rpartition("=")
        state = next((state for state in STATES if state == named.strip().lower().replace(" ", "_")), None)
        if state is None:
            raise typer.BadParameter(
                f'{each!r}: say one of {", ".join(STATES)}, or WORD=STATE, such as "auf Lager=in_stock"',
                param_hint="--availability",
            )
        words[word.strip()] = state
    return words
