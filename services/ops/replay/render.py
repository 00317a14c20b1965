"""The report of a replay as one HTML file that needs nothing else: figures, plots, and how to read them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.cli import console
from services.files import write_atomically
from services.ops.experiments.statistics import Estimate
from services.ops.output import figures, say
from services.ops.replay import plots
from services.ops.replay.figures import (
    NOTHING,
    FeedFigures,
    Figure,
    ReplayParameters,
    ReplayReport,
    SessionsCompared,
    advantage,
    as_text,
    change,
    count_noun,
    decimal,
    interval,
    percent,
    points,
)
from services.time_range import TimeRange, format_time

Line = tuple[str, list[str]]  # what it is, and a cell a column

TEMPLATE: Final = "page.html.j2"


def describe_request(asked: ReplayParameters) -> Iterator[str]:
    """What was replayed, where to, and with what."""
    into = "the live pipeline" if asked.prefix is None else f"a shadow pipeline ({asked.prefix})"
    whose = "" if asked.visitor_id is None else f" of the visitor {asked.visitor_id}"
    source = "" if asked.archive is None else f" of the archive {asked.archive}"
    yield (
        f"replayed events{whose}{source} from {TimeRange(asked.since, asked.until)} into {into}, "
        f"speed {asked.speed}"
    )
    differing = [*asked.models, *(f"{name}={value}" for name, value in asked.settings.items())]
    for kind, weights in asked.weights.items():
        differing += [f"{kind}.{name}={value:g}" for name, value in weights.items()]
    if differing:
        yield f"what differs from live: {', '.join(differing)}"


def describe_feed(found: FeedFigures) -> Iterator[str]:
    """How many events, and how fast."""
    workers = count_noun(found.workers, "worker")
    yield (
        f"{count_noun(found.events, 'event')} of {count_noun(found.visitors, 'visitor')}, "
        f"{format_time(found.since)} to {format_time(found.until)}, in {found.seconds:,.1f} s: "
        f"{found.events_per_s:,.0f} events/s, folded and acknowledged by {workers}"
    )
    for count, what in (
        (found.bad, "messages that are no events"),
        (found.erased, "events of erased visitors"),
    ):
        if count:
            yield f"left out: {count:,} {what}"


def sessions(found: SessionsCompared) -> Iterator[str]:
    """How many sessions are byte for byte those of live."""
    yield f"sessions: {found.visitors:,}, sha256 over all of them {found.digest}"
    yield (
        f"byte for byte against live: {found.equal:,} equal, {found.different:,} different, "
        f"{found.beyond:,} of which live holds more than the range, {found.missing:,} that live has not"
    )
    for each in found.differences:
        yield f"  {each.visitor_id}: {each.what}"


def quality_rows(report: ReplayReport) -> Iterator[Line]:
    """A column a pipeline."""
    found, asked = report.qualities, report.asked
    yield "cases", [f"{each.cases:,}" for each in found]
    yield "visitors", [f"{each.visitors:,}" for each in found]
    yield from _with_intervals(f"hit rate @{asked.k}", [each.hit_rate for each in found], percent, asked)
    yield from _with_intervals(f"MRR @{asked.k}", [each.mrr for each in found], decimal, asked)
    yield f"coverage of {count_noun(report.catalogue, 'product')}", [percent(each.coverage) for each in found]
    yield "rows that are fallbacks", [percent(each.fallbacks) for each in found]
    yield "models", ["\n".join(each.models) or NOTHING for each in found]


def pair_rows(report: ReplayReport) -> Iterator[Line]:
    """A column a pair."""
    found, asked = report.compared, report.asked
    hit_rates, mrrs = [each.hit_rate_difference for each in found], [each.mrr_difference for each in found]
    taus = [each.rank_correlation for each in found]
    yield "cases", [f"{each.cases:,}" for each in found]
    yield "visitors", [f"{each.visitors:,}" for each in found]
    yield from _with_intervals(f"hit rate @{asked.k}, points", hit_rates, points, asked)
    yield from _with_intervals(f"MRR @{asked.k}", mrrs, change, asked)
    yield "next product higher / lower", [f"{each.better:,} / {each.worse:,}" for each in found]
    yield from _with_intervals(f"overlap @{asked.k}", [each.overlap for each in found], percent, asked)
    yield from _with_intervals("Kendall's tau of common products", taus, decimal, asked)
    yield "equal rows", [f"{each.equal_rows:,}" for each in found]


def front_rows(report: ReplayReport) -> Iterator[Line]:
    """A column a mixture."""
    found, asked = report.front, report.asked
    clicks, buys = [each.clicks for each in found], [each.buys for each in found]
    of_clicks, of_buys = found[0].click_cases, found[0].buy_cases
    yield from _with_intervals(
        f"hit rate @{asked.k}, {count_noun(of_clicks, 'click')}", clicks, percent, asked
    )
    yield from _with_intervals(f"of {of_buys:,} on what was bought later", buys, percent, asked)


def _with_intervals(
    what: str, found: list[Estimate], figure: Figure, asked: ReplayParameters
) -> Iterator[Line]:
    yield what, [as_text(each, figure) for each in found]
    yield f"  {asked.confidence:.0%} interval", [interval(each, figure) for each in found]


def write_page(report: ReplayReport, path: Path) -> None:
    """Writes the page; what was there before stays until it is whole. Raises OSError."""
    write_atomically(path, html(report).encode())


def html(report: ReplayReport) -> str:
    """The page's text: the same for the same report."""
    head, _, rest = report.verdict.partition(":")
    return _template().render(
        report=report,
        times=str(TimeRange(report.asked.since, report.asked.until)),
        made_at=format_time(report.created_at),
        asked_for=list(describe_request(report.asked)),
        fed=list(describe_feed(report.fed)),
        sessions=list(sessions(report.sessions)) if report.sessions else [],
        qualities=list(quality_rows(report)) if report.qualities else [],
        pairs=list(pair_rows(report)) if report.compared else [],
        front=list(front_rows(report)) if report.front else [],
        advantage=advantage(report),
        plots=plots.plots(report),
        width=plots.WIDTH,
        verdict_head=head,
        verdict_rest=rest.strip(),
    )


@cache
def _template() -> Template:
    folder = Path(__file__).parent
    return Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(TEMPLATE)  # fmt: skip


def show(report: ReplayReport) -> None:
    """Prints the whole report; the verdict stands at its end, where a terminal is looked at."""
    compared = sessions(report.sessions) if report.sessions is not None else ()
    for sentence in (*describe_request(report.asked), *describe_feed(report.fed), *compared):
        say(sentence)
    if report.qualities:
        names = [each.name for each in report.qualities]
        title = f"the next click, rows of {report.asked.k}"
        console.print(figures(title, names, quality_rows(report)))
        if known := advantage(report):
            say(known)
    if report.compared:
        names = [f"{each.name} −\n{each.with_name}" for each in report.compared]
        console.print(figures("the same cases in pairs", names, pair_rows(report)))
    if report.front:
        names = [each.objective.replace(",", ",\n") for each in report.front]
        console.print(figures("by objective", names, front_rows(report)))
    for note in report.notes:
        say(f"! {note}", "yellow")
    if report.verdict:
        say(report.verdict, "bold")
