"""The report of a product for people: sentences and a table."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.products import Product
from services.ops.inspect.product.report import Report, RuleOn, VectorsNow
from services.time_range import TimeRange, shown

LETTERS_SHOWN = 5
TEXT_SHOWN = 100  # characters of a field


def show(console: Console, report: Report) -> None:
    """The whole report."""
    _say(console, f"product {report.product_id}: {report.state}", "bold")
    if report.unreadable:
        _say(console, f"! {report.unreadable}", "yellow")
    if report.product is not None:
        _product(console, report.product, report.written_at or 0)
    for each in report.differences:
        _say(
            console,
            f"  differs: {each.field}: embedded {_cut(each.embedded)}, now {_cut(each.now)}",
            "yellow",
        )
    if report.vectors is not None:
        _vectors(console, report.vectors)
    _letters(console, report)
    for rule in report.rules:
        _say(console, f"  rule {rule.rule_id}: {_rule(rule)}", "green" if rule.holds_now else None)
    if report.nearest:
        _say(console, "\nnearest by content", "bold")
        for near in report.nearest:
            sold_out = "" if near.availability == "in_stock" else f" [{near.availability}]"
            _say(console, f"  {near.score:6.3f} {near.product_id} {near.name}{sold_out}: {near.why}")
    _recommender(console, report)
    _events(console, report)
    for sentence in report.unasked:
        _say(console, f"! {sentence}", "yellow")


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _product(console: Console, product: Product, written_at: int) -> None:
    table = Table("", "", show_header=False)
    for name, value in _fields(product):
        table.add_row(name, escape(value))
    table.add_row("updated_at", f"{shown(product.updated_at)} (on the topic since {shown(written_at)})")
    console.print(table)


def _fields(product: Product) -> Iterator[tuple[str, str]]:
    yield "name", product.name
    yield "price", f"{product.price:.2f} {product.currency}, {product.availability}"
    yield "category", " > ".join(product.category) or "none"
    for name in ("brand", "type", "description", "image_url", "url"):
        value = getattr(product, name)
        if value:
            yield name, _cut(value)
    for name, values in (("tags", product.tags), ("markets", product.markets)):
        if values:
            yield name, ", ".join(values)
    if product.popularity is not None:
        yield "popularity", f"{product.popularity:g}"


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"


def _vectors(console: Console, vectors: VectorsNow) -> None:
    there = [each.name for each in vectors.segments if each.is_there]
    empty = [each.name for each in vectors.segments if not each.is_there]
    _say(console, f"  vectors written {shown(vectors.written_at)}, layout {vectors.layout}")
    _say(
        console,
        f"  segments: {', '.join(there) or 'none'}" + (f"; empty: {', '.join(empty)}" if empty else ""),
    )
    for segment, model in vectors.models.items():
        _say(console, f"  {segment} made by {model}")


def _letters(console: Console, report: Report) -> None:
    for letter in report.dead_letters[:LETTERS_SHOWN]:
        _say(
            console,
            f"  dead letter of {shown(letter.failed_at)} "
            f"({letter.service}, {letter.stage}, {letter.source}): {letter.reason}",
            "yellow",
        )
    if len(report.dead_letters) > LETTERS_SHOWN:
        _say(console, f"  and {len(report.dead_letters) - LETTERS_SHOWN} more: `ops dlq list`", "yellow")


def _rule(rule: RuleOn) -> str:
    how = {
        "pin": f"pinned to place {rule.position}",
        "boost": f"boosted × {rule.factor}",
        "bury": f"buried ÷ {rule.factor}",
        "block": "blocked",
    }[rule.action]
    where = f" in {', '.join(rule.slots)}" if rule.slots else " everywhere"
    when = "" if rule.holds_now else f", not now ({_bounds(rule)})"
    return f"{how}{where}, by {', '.join(rule.by)}{when}"


def _bounds(rule: RuleOn) -> str:
    begin = "" if rule.starts_at is None else f"from {shown(rule.starts_at)}"
    end = "" if rule.ends_at is None else f"to {shown(rule.ends_at)}"
    return " ".join(filter(None, (begin, end)))


def _recommender(console: Console, report: Report) -> None:
    found = report.recommender
    if found is None:
        return
    if not found.has_it:
        _say(console, "\nthe recommender does not have it", "bold")
        return
    fallback = f", fallback: {found.fallback}" if found.fallback else ""
    _say(console, f"\nthe recommender has it ({found.availability}); similar there{fallback}", "bold")
    for item in found.similar:
        _say(console, f"  {item.score:6.3f} {item.source:<9} {item.product_id} {item.name}: {item.why}")


def _events(console: Console, report: Report) -> None:
    found = report.events
    if found is None:
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in found.by_type.items()) or "none"
    _say(console, f"\nevents from {TimeRange(found.since, found.until)}: {counts}", "bold")
    newest = "" if found.newest_at is None else f", the newest {shown(found.newest_at)}"
    erased = f"; {found.erased:,} of erased visitors are left out" if found.erased else ""
    _say(
        console,
        f"  of {found.visitors:,} visitors, {found.clicks_on_rows:,} from recommended rows{newest}; "
        f"{found.scanned:,} events looked through{erased}",
    )
