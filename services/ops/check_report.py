"""The report of a check as tables, for people."""

from rich.console import Console
from rich.table import Table

from services.ops.checking import Group, Report


def show(console: Console, report: Report) -> None:
    """Prints the whole report."""
    console.print(
        f"{report.file}: {report.format}, columns of {report.mapping}; nothing was sent", markup=False
    )
    facts = Table("", "", show_header=False)
    facts.add_row("rows", f"{report.rows:,}")
    facts.add_row("products", f"{report.products:,}")
    facts.add_row("rows refused", f"{report.rows_refused:,}")
    for field, count in report.missing.items():
        facts.add_row(f"without {field}", f"{count:,}{_share(count, report.rows)}")
    for state, count in report.availability.items():
        facts.add_row(state, f"{count:,}{_share(count, report.products)}")
    for currency, count in report.currencies.items():
        facts.add_row(f"in {currency}", f"{count:,}")
    console.print(facts)
    _groups(console, "refused", report.refused, "red")
    _groups(console, "odd, but loaded", report.odd, "yellow")
    _groups(console, "left out", report.left_out, "dim")


def _share(count: int, of: int) -> str:
    return f" ({count / of:.1%})" if count and of else ""


def _groups(console: Console, title: str, groups: list[Group], style: str) -> None:
    if not groups:
        return
    table = Table(title, "rows", "first", "such as", style=style)
    for group in groups:
        first = ", ".join(map(str, group.rows)) + (" …" if group.count > len(group.rows) else "")
        table.add_row(group.what, f"{group.count:,}", first, "\n".join(group.examples))
    console.print(table, markup=False)
