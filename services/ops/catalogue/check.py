"""What a look at a catalogue's rows finds, before anything is sent. Pure: entries in, a report out."""

import re
from collections import Counter
from typing import Final

import msgspec

from schemas.products import Product
from schemas.times import DAY_MS
from services.cli import Terminal
from services.ops.catalogue.cell_values import UNTOLD
from services.ops.catalogue.full_sync import Departures
from services.ops.catalogue.full_sync import show as show_departures
from services.ops.catalogue.mappings import REPEATED, BadRow, Found, Mapping, OmittedRow
from services.ops.catalogue.prices import AMBIGUOUS
from services.ops.output import Column, pairs, table

console: Final = Terminal(soft_wrap=True)
PICTURE: Final = "image_url is no http(s) address"
ROWS_SHOWN: Final = 5
EXAMPLES_SHOWN: Final = 5
GROUPS_MAX: Final = 100  # reasons that differ in every row must not fill the memory
OTHERS: Final = "other reasons"

TWICE: Final = "product_id is there more than once: the newest row counts, of equals the first"
LETTERS: Final = "letters are broken (Ã¼, �): is the encoding right? (--encoding)"
# What a shopper sees of an oddity, by the beginning of its words or their end.
SEEN: Final = (
    ("price is 0", "at price 0"),
    (AMBIGUOUS, "at a price that may be another"),
    ("currency is ", "in another currency"),
    ("so there is no sale", "without their sale"),
    (UNTOLD, "as in stock, which the feed does not say"),
    (LETTERS, "with broken letters"),
    (PICTURE, "with a picture that does not load"),
)

_BROKEN: Final = re.compile("[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—™š›œ]|â€|\ufffd")
_MISSING: Final = re.compile(r"(\w+): is missing")
_ADDRESS: Final = re.compile(r"(?i)https?://|data:")


class Group(msgspec.Struct):
    """Rows with one thing in common: how many, the first few numbers, and a few of the cells at fault."""

    what: str
    count: int = 0
    rows: list[int] = []
    examples: list[str] = []
    remedy: str = ""


COLUMNS: Final[tuple[Column[Group], ...]] = (
    Column("rows", lambda group: group.count),
    Column("first", lambda group: ", ".join(map(str, group.rows)) + " …" * (group.count > len(group.rows))),
    Column("such as", lambda group: "\n".join(group.examples)),
    Column("what to do", lambda group: group.remedy),
)


class Report(msgspec.Struct, frozen=True):
    """A whole file. `missing` counts by field: of products, and of rows refused for the lack of it.

    `refused` rows are not loaded; `left_out` are sound, but add no product; `odd` ones are loaded.
    """

    file: str
    format: str
    mapping: str
    rows: int
    products: int
    refused: list[Group]
    left_out: list[Group]
    missing: dict[str, int]
    odd: list[Group]
    availability: dict[str, int]
    currencies: dict[str, int]
    shopper: str = ""  # what a shopper would see wrong
    full: Departures | None = None
    broke_off: str | None = None  # why nothing after the last of these rows could be read

    @property
    def rows_refused(self) -> int:
        """All rows that no product is made of."""
        return sum(group.count for group in self.refused)


class _Groups:
    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def add(self, what: str, number: int, example: str = "", remedy: str = "") -> None:
        if what not in self._groups and len(self._groups) >= GROUPS_MAX:
            what = OTHERS
        group = self._groups.setdefault(what, Group(what))
        group.count += 1
        group.remedy = group.remedy or remedy
        if len(group.rows) < ROWS_SHOWN:
            group.rows.append(number)
        if example and example not in group.examples and len(group.examples) < EXAMPLES_SHOWN:
            group.examples.append(example)

    def to_list(self) -> list[Group]:
        """Most frequent first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)


class Check:
    """Takes a file's entries one by one. `file_time`: Unix ms, which products' times are held against."""

    def __init__(self, mapping: Mapping, file_time: int) -> None:
        self._mapping = mapping
        self._file_time = file_time
        self._rows = 0
        self._ids = set[str]()
        self._refused, self._left_out, self._odd = _Groups(), _Groups(), _Groups()
        self._currencies = _Groups()
        self._missing = Counter(dict.fromkeys(("image_url", "description", "brand", "category", "price"), 0))
        self._availability = Counter(dict.fromkeys(("in_stock", "out_of_stock", "preorder"), 0))

    def take(self, number: int, found: Found) -> None:
        """One row."""
        self._rows += 1
        if isinstance(found, BadRow):
            self._refused.add(found.reason, number, found.value, found.remedy)
            if lacking := _MISSING.fullmatch(found.reason):
                self._missing[lacking[1]] += 1
        elif isinstance(found, OmittedRow):
            self._left_out.add(found.reason, number)
            if found.reason == REPEATED and not self._mapping.repeated:
                self._odd.add(TWICE, number)
        elif found.product_id in self._ids:
            self._odd.add(TWICE, number, found.product_id)
        else:
            self._ids.add(found.product_id)
            self._look(number, found)

    def tell(self, number: int, what: str, example: str) -> None:
        """What is odd about a row."""
        self._odd.add(what, number, example)

    def report(self, file: str, format_name: str, full: Departures | None = None) -> Report:
        """What was found so far; `full`: what a full load would take away."""
        currencies = self._currencies.to_list()
        for group in currencies[1:]:  # the most frequent one is the shop's
            group.what = f"currency is {group.what}, of most {currencies[0].what}"
        odd = sorted([*self._odd.to_list(), *currencies[1:]], key=lambda group: -group.count)
        return Report(
            file=file,
            format=format_name,
            mapping=self._mapping.name,
            rows=self._rows,
            products=len(self._ids),
            refused=self._refused.to_list(),
            left_out=self._left_out.to_list(),
            missing=dict(self._missing),
            odd=odd,
            availability=dict(self._availability),
            currencies={group.what.removeprefix("currency is ")[:3]: group.count for group in currencies},
            shopper=self._summarise(odd),
            full=full,
        )

    def _summarise(self, odd: list[Group]) -> str:
        """What a shopper would see wrong, in one line."""
        refused = sum(group.count for group in self._refused.to_list())
        seen = Counter[str]()
        for group in odd:
            what = group.what
            phrases = (phrase for text, phrase in SEEN if what.startswith(text) or what.endswith(text))
            if phrase := next(phrases, None):
                seen[phrase] += group.count
        found = [
            *seen.most_common(),
            ("without a picture", self._missing["image_url"]),
            ("not at all, as their rows are refused", refused),
        ]
        told = [
            f"{count:,} {'product' if count == 1 else 'products'} {what}" for what, count in found if count
        ]
        return f"A shopper would see {', '.join(told)}." if told else "A shopper would see nothing wrong."

    def _look(self, number: int, product: Product) -> None:
        for field in ("image_url", "description", "brand", "category"):
            if not getattr(product, field):
                self._missing[field] += 1
        self._availability[product.availability] += 1
        self._currencies.add(product.currency, number)
        for what, example in self._oddities(product):
            self._odd.add(what, number, example)

    def _oddities(self, product: Product) -> list[tuple[str, str]]:
        found = []
        if product.price == 0:
            found.append(("price is 0", product.product_id))
        if product.image_url and not _ADDRESS.match(product.image_url):
            found.append((PICTURE, product.image_url[:80]))
        if broken := next(filter(_BROKEN.search, filter(None, (product.name, product.description))), None):
            found.append((LETTERS, broken[:80]))
        if product.updated_at > self._file_time + DAY_MS:
            found.append(
                ("updated_at is after the file's own time: it hides later changes", str(product.updated_at))
            )
        return found


def show(report: Report) -> None:
    """Prints the whole report."""
    console.print(
        f"{report.file}: {report.format}, columns of {report.mapping}; nothing was sent", markup=False
    )
    facts: list[tuple[str, object]] = [
        ("rows", report.rows),
        ("products", report.products),
        ("rows refused", report.rows_refused),
    ]
    for field, count in report.missing.items():
        facts.append((f"without {field}", f"{count:,}{_share(count, report.products + report.rows_refused)}"))
    for state, count in report.availability.items():
        facts.append((state, f"{count:,}{_share(count, report.products)}"))
    console.print(pairs([*facts, *((f"in {name}", count) for name, count in report.currencies.items())]))
    for title, groups, style in (
        ("refused", report.refused, "red"),
        ("odd, but loaded", report.odd, "yellow"),
        ("left out", report.left_out, "dim"),
    ):
        if groups:
            console.print(table(groups, (Column(title, lambda group: group.what), *COLUMNS), style=style))
    if report.full is not None:
        show_departures(report.full)
    console.print(report.shopper, markup=False, highlight=False)


def _share(count: int, of: int) -> str:
    return f" ({count / of:.1%})" if count and of else ""
