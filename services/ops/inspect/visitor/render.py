"""The report of a visitor for people: sentences and tables."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.ops.inspect.visitor.report import (
    InterestInWords,
    Report,
    Row,
    SessionNow,
    deed,
    deed_in_words,
    listed,
)
from services.time_range import TimeRange, shown

ITEMS_SHOWN = 4
VISITS_SHOWN = 5


def show(console: Console, report: Report) -> None:
    """The whole report."""
    for line in _who(report):
        _say(console, line)
    _events(console, report)
    _session(console, report.session)
    _rows(console, report)
    _profile(console, report.profile)
    for sentence in report.unasked:
        console.print(f"! {sentence}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _who(report: Report) -> Sequence[str]:
    lines = [f"visitor {report.visitor_id}"]
    if report.user_id is not None and report.user_since is not None:
        lines.append(f"is the user {report.user_id}, known since {shown(report.user_since)}")
    for member in report.person:
        last = f", the last {shown(member.last_event_at)}" if member.last_event_at is not None else ""
        lines.append(f"the same person: {member.visitor_id} ({member.events} events remembered{last})")
    if report.erased_until is not None:
        lines.append(f"erased: what came up to {shown(report.erased_until)} is left out by every reader")
    return lines


def _events(console: Console, report: Report) -> None:
    found, times = report.events, TimeRange(report.since, report.until)
    _say(console, f"\nevents from {times}: {found.total:,}{_counts(found.by_type)}", "bold")
    for count, what in (
        (found.twice, "came more than once"),
        (found.erased, "are of before the erasure"),
        (found.unreadable, "messages under this key are no events of this visitor"),
    ):
        if count:
            _say(console, f"  {count:,} {what}")
    if found.newest:
        table = Table("when (UTC)", "what", "row clicked", "list")
        for event in found.newest:
            table.add_row(
                shown(event.occurred_at),
                escape(deed_in_words(event)),
                escape(event.recommendation_id or ""),
                escape(event.list_id or ""),
            )
        console.print(table)


def _counts(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""


def _session(console: Console, session: SessionNow | None) -> None:
    if session is None:
        _say(console, "\nno session that can be shown on the topic sessions", "bold")
        return
    _say(
        console,
        f"\nsession of {shown(session.published_at)}: {len(session.events)} events remembered, "
        f"{len(session.visits)} visits",
        "bold",
    )
    for visit in session.visits[-VISITS_SHOWN:]:
        _say(console, f"  {shown(visit.began_at)} to {shown(visit.ended_at)}: {visit.events} events")
    if session.missing:
        _say(console, f"  without a vector yet: {listed(session.missing)}", "yellow")
    _say(console, f"  layout {session.layout or 'none'}")
    for interest in session.interests:
        _interest(console, interest)


def _interest(console: Console, interest: InterestInWords) -> None:
    _say(console, f"  {interest.weight:.0%} {interest.sentence}", "green")
    if interest.made_of:
        parts = (f"{part.product} {part.share:.0%}" for part in interest.made_of)
        _say(console, f"      made of: {'; '.join(parts)}")
    if interest.nearest:
        near = (
            f"{each.product} ({each.likeness:.2f}{'' if each.availability == 'in_stock' else ', sold out'})"
            for each in interest.nearest
        )
        _say(console, f"      nearest: {'; '.join(near)}")


def _rows(console: Console, report: Report) -> None:
    rows = report.shown
    _say(
        console,
        f"\nshown: {rows.total:,} rows{_counts(rows.by_kind)}, clicked {rows.clicked:,}",
        "bold",
    )
    if rows.by_source:
        _say(console, f"  products by source{_counts(rows.by_source)}")
    if rows.by_fallback:
        _say(console, f"  fallbacks{_counts(rows.by_fallback)}")
    for count, what in ((rows.erased, "rows are of before the erasure"), (rows.unreadable, "are no rows")):
        if count:
            _say(console, f"  {count:,} {what}")
    for row in rows.newest:
        _row(console, row)


def _row(console: Console, row: Row) -> None:
    about = f" about {row.about}" if row.about else ""
    query = f" for “{row.query}”" if row.query else ""
    _say(console, f"  {shown(row.shown_at)} {row.slot} ({row.kind}){about}{query}  {row.recommendation_id}")
    for item in row.items[:ITEMS_SHOWN]:
        _say(console, f"      {item.score:7.3f} {item.source:<9} {item.product}")
    if len(row.items) > ITEMS_SHOWN:
        _say(console, f"      and {len(row.items) - ITEMS_SHOWN} more")
    if row.caused_by:
        _say(console, f"      why: {row.because or f'event {row.caused_by}, which is not in the range'}")
    named = [f"{name} {version}" for name, version in row.models.items()]
    named += [f"experiment {name}: {variant}" for name, variant in row.experiments.items()]
    if row.fallback:
        named.append(f"fallback: {row.fallback}")
    _say(console, f"      {', '.join(named) or 'no model'}")
    if row.clicked:
        _say(console, f"      clicked: {', '.join(row.clicked)}", "green")


def _profile(console: Console, profile: object | None) -> None:
    if not isinstance(profile, dict):
        return
    liked = ", ".join(
        f"{each['category']} {each['weight']:.0%} "
        f"({deed(each['because']['type'])} {each['because']['product_id']})"
        for each in profile["interests"]
    )
    variants = ", ".join(f"{name}: {variant}" for name, variant in profile["experiments"].items())
    _say(
        console,
        f"\nthe recommender itself: {len(profile['events'])} events of {profile['visitors']} browsers; "
        f"likes {liked or 'nothing yet'}" + (f"; experiments {variants}" if variants else ""),
        "bold",
    )
