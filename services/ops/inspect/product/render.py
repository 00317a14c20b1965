"""The report of a product for people: sentences and a table."""

from collections.abc import Iterator

from schemas.products import Product
from services.cli import console
from services.ops.inspect.product.report import Report, RuleOn, VectorsNow
from services.ops.output import pairs, say
from services.time_range import TimeRange, format_time

LETTERS_SHOWN = 5
TEXT_SHOWN = 100  # characters of a field


def show(report: Report) -> None:
    """The whole report."""
    say(f"product {report.product_id}: {report.state}", "bold")
    if report.unreadable:
        say(f"! {report.unreadable}", "yellow")
    if report.product is not None:
        written = format_time(report.written_at or 0)
        updated = f"{format_time(report.product.updated_at)} (on the topic since {written})"
        console.print(pairs([*_fields(report.product), ("updated_at", updated)]))
    for each in report.differences:
        say(
            f"  differs: {each.field}: embedded {_cut(each.embedded)}, now {_cut(each.now)}",
            "yellow",
        )
    if report.vectors is not None:
        _vectors(report.vectors)
    _letters(report)
    for rule in report.rules:
        say(f"  rule {rule.rule_id}: {_rule(rule)}", "green" if rule.holds_now else None)
    if report.nearest:
        say("\nnearest by content", "bold")
        for near in report.nearest:
            sold_out = "" if near.availability == "in_stock" else f" [{near.availability}]"
            say(f"  {near.score:6.3f} {near.product_id} {near.name}{sold_out}: {near.why}")
    _recommender(report)
    _events(report)
    for sentence in report.unasked:
        say(f"! {sentence}", "yellow")


def _fields(product: Product) -> Iterator[tuple[str, str]]:
    yield "name", product.name
    yield "price", f"{product.price:.2f} {product.currency}, {product.availability}"
    for change in product.price_changes:
        yield f"from {format_time(change.at)}", f"{change.price:.2f} {product.currency}"
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


def _vectors(vectors: VectorsNow) -> None:
    there = [each.name for each in vectors.segments if each.is_there]
    empty = [each.name for each in vectors.segments if not each.is_there]
    say(f"  vectors written {format_time(vectors.written_at)}, layout {vectors.layout}")
    say(
        f"  segments: {', '.join(there) or 'none'}" + (f"; empty: {', '.join(empty)}" if empty else ""),
    )
    for segment, model in vectors.models.items():
        say(f"  {segment} made by {model}")


def _letters(report: Report) -> None:
    for letter in report.dead_letters[:LETTERS_SHOWN]:
        say(
            f"  dead letter of {format_time(letter.failed_at)} "
            f"({letter.service}, {letter.stage}, {letter.source}): {letter.reason}",
            "yellow",
        )
    if len(report.dead_letters) > LETTERS_SHOWN:
        say(f"  and {len(report.dead_letters) - LETTERS_SHOWN} more: `ops dlq list`", "yellow")


def _rule(rule: RuleOn) -> str:
    how = {
        "pin": f"pinned to place {rule.position}",
        "boost": f"boosted × {rule.factor}",
        "bury": f"buried ÷ {rule.factor}",
        "block": "blocked",
    }[rule.action]
    where = f" in {', '.join(rule.slots)}" if rule.slots else " everywhere"
    begin = "" if rule.starts_at is None else f"from {format_time(rule.starts_at)}"
    end = "" if rule.ends_at is None else f"to {format_time(rule.ends_at)}"
    when = "" if rule.holds_now else f", not now ({' '.join(filter(None, (begin, end)))})"
    return f"{how}{where}, by {', '.join(rule.by)}{when}"


def _recommender(report: Report) -> None:
    found = report.recommender
    if found is None:
        return
    if not found.has_it:
        say("\nthe recommender does not have it", "bold")
        return
    fallback = f", fallback: {found.fallback}" if found.fallback else ""
    say(f"\nthe recommender has it ({found.availability}); similar there{fallback}", "bold")
    for item in found.similar:
        say(f"  {item.score:6.3f} {item.source:<9} {item.product_id} {item.name}: {item.why}")


def _events(report: Report) -> None:
    found = report.events
    if found is None:
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in found.by_type.items()) or "none"
    say(f"\nevents from {TimeRange(found.since, found.until)}: {counts}", "bold")
    newest = "" if found.newest_at is None else f", the newest {format_time(found.newest_at)}"
    erased = f"; {found.erased:,} of erased visitors are left out" if found.erased else ""
    say(
        f"  of {found.visitors:,} visitors, {found.clicks_on_rows:,} from recommended rows{newest}; "
        f"{found.scanned:,} events looked through{erased}",
    )
