"""The report of a visitor for people: sentences and tables."""

from collections.abc import Mapping, Sequence
from typing import Final

from services.cli import console
from services.model.interests import InterestInWords, event_words
from services.ops.inspect.visitor.report import (
    Report,
    Row,
    SessionNow,
    VisitorEvent,
    describe_event,
    list_names,
)
from services.ops.output import Column, say, table
from services.time_range import TimeRange, format_time

EVENTS: Final[tuple[Column[VisitorEvent], ...]] = (
    Column("when (UTC)", lambda event: format_time(event.occurred_at)),
    Column("what", describe_event),
    Column("row clicked", lambda event: event.recommendation_id),
    Column("list", lambda event: event.list_id),
)
ITEMS_SHOWN = 4
VISITS_SHOWN = 5


def show(report: Report) -> None:
    """The whole report."""
    for line in _who(report):
        say(line)
    _events(report)
    _session(report.session)
    _rows(report)
    _profile(report.profile)
    for sentence in report.unasked:
        say(f"! {sentence}", "yellow")


def _who(report: Report) -> Sequence[str]:
    lines = [f"visitor {report.visitor_id}"]
    if report.user_id is not None and report.user_since is not None:
        lines.append(f"is the user {report.user_id}, known since {format_time(report.user_since)}")
    for member in report.person:
        last = f", the last {format_time(member.last_event_at)}" if member.last_event_at is not None else ""
        lines.append(f"the same person: {member.visitor_id} ({member.events} events remembered{last})")
    if report.erased_until is not None:
        lines.append(
            f"erased: what came up to {format_time(report.erased_until)} is left out by every reader"
        )
    return lines


def _events(report: Report) -> None:
    found, times = report.events, TimeRange(report.since, report.until)
    say(f"\nevents from {times}: {found.total:,}{_counts(found.by_type)}", "bold")
    for count, what in (
        (found.twice, "came more than once"),
        (found.erased, "are of before the erasure"),
        (found.unreadable, "messages under this key are no events of this visitor"),
    ):
        if count:
            say(f"  {count:,} {what}")
    if found.newest:
        console.print(table(found.newest, EVENTS))


def _counts(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""


def _session(session: SessionNow | None) -> None:
    if session is None:
        say("\nno session that can be shown on the topic sessions", "bold")
        return
    say(
        f"\nsession of {format_time(session.published_at)}: {len(session.events)} events remembered, "
        f"{len(session.visits)} visits",
        "bold",
    )
    for visit in session.visits[-VISITS_SHOWN:]:
        say(f"  {format_time(visit.began_at)} to {format_time(visit.ended_at)}: {visit.events} events")
    if session.missing:
        say(f"  without a vector yet: {list_names(session.missing)}", "yellow")
    if session.searches:
        found = (f'"{each.words}" {format_time(each.occurred_at)}' for each in session.searches)
        say(f"  searched for: {', '.join(found)}")
    if session.shown:
        say(f"  {session.shown} products seen in rows")
    say(f"  layout {session.layout or 'none'}")
    for interest in session.interests:
        _interest(interest)


def _interest(interest: InterestInWords) -> None:
    say(f"  {interest.weight:.0%} {interest.sentence}", "green")
    if interest.made_of:
        parts = (f"{part.product} {part.share:.0%}" for part in interest.made_of)
        say(f"      made of: {'; '.join(parts)}")
    if interest.nearest:
        near = (
            f"{each.product} ({each.likeness:.2f}{'' if each.availability == 'in_stock' else ', sold out'})"
            for each in interest.nearest
        )
        say(f"      nearest: {'; '.join(near)}")


def _rows(report: Report) -> None:
    rows = report.shown
    say(
        f"\nshown: {rows.total:,} rows{_counts(rows.by_kind)}, clicked {rows.clicked:,}",
        "bold",
    )
    if rows.by_source:
        say(f"  products by source{_counts(rows.by_source)}")
    if rows.by_fallback:
        say(f"  fallbacks{_counts(rows.by_fallback)}")
    for count, what in ((rows.erased, "rows are of before the erasure"), (rows.unreadable, "are no rows")):
        if count:
            say(f"  {count:,} {what}")
    for row in rows.newest:
        _row(row)


def _row(row: Row) -> None:
    about = f" about {row.about}" if row.about else ""
    query = f" for “{row.query}”" if row.query else ""
    say(f"  {format_time(row.shown_at)} {row.slot} ({row.kind}){about}{query}  {row.recommendation_id}")
    for item in row.items[:ITEMS_SHOWN]:
        say(f"      {item.score:7.3f} {item.source:<9} {item.product}")
    if len(row.items) > ITEMS_SHOWN:
        say(f"      and {len(row.items) - ITEMS_SHOWN} more")
    if row.caused_by:
        say(f"      why: {row.because or f'event {row.caused_by}, which is not in the range'}")
    named = [f"{name} {version}" for name, version in row.models.items()]
    named += [f"experiment {name}: {variant}" for name, variant in row.experiments.items()]
    if row.fallback:
        named.append(f"fallback: {row.fallback}")
    say(f"      {', '.join(named) or 'no model'}")
    if row.clicked:
        say(f"      clicked: {', '.join(row.clicked)}", "green")


def _profile(profile: object | None) -> None:
    if not isinstance(profile, dict):
        return
    liked = ", ".join(
        f"{each['category']} {each['weight']:.0%} "
        f"({event_words(each['because']['type'])} {each['because']['product_id']})"
        for each in profile["interests"]
    )
    variants = ", ".join(f"{name}: {variant}" for name, variant in profile["experiments"].items())
    say(
        f"\nthe recommender itself: {len(profile['events'])} events of {profile['visitors']} browsers; "
        f"likes {liked or 'nothing yet'}" + (f"; experiments {variants}" if variants else ""),
        "bold",
    )
