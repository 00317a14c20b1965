"""What both the terminal and the page tell of a replay: sentences, and tables' lines. Pure."""

from collections.abc import Iterator

from services.history.timerange import TimeRange, shown
from services.ops.replay.answers import SHOWN, Asked, Fed, ReplayReport, SessionsCompared
from services.ops.replay.words import NOTHING, change, counted, decimal, interval, percent, points, told

Line = tuple[str, list[str]]  # what it is, and a cell a column


def asked_for(asked: Asked) -> Iterator[str]:
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


def fed(found: Fed) -> Iterator[str]:
    """How many events, and how fast."""
    workers = counted(found.workers, "worker")
    yield (
        f"{counted(found.events, 'event')} of {counted(found.visitors, 'visitor')}, "
        f"{shown(found.since)} to {shown(found.until)}, in {found.seconds:,.1f} s: "
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


def advantage(report: ReplayReport) -> str:
    """What stands beside every figure of rows as they were shown; an empty text where there are none."""
    if not any(each.name == SHOWN and each.cases for each in report.qualities):
        return ""
    return f"“{SHOWN}” has the advantage that visitors saw it and clicked on it; the others nobody saw."


def quality_rows(report: ReplayReport) -> Iterator[Line]:
    """A column a pipeline."""
    found, k, between = report.qualities, report.asked.k, _between(report)
    yield "cases", [f"{each.cases:,}" for each in found]
    yield "visitors", [f"{each.visitors:,}" for each in found]
    yield f"hit rate @{k}", [told(each.hit_rate, percent) for each in found]
    yield f"  {between}", [interval(each.hit_rate, percent) for each in found]
    yield f"MRR @{k}", [told(each.mrr, decimal) for each in found]
    yield f"  {between}", [interval(each.mrr, decimal) for each in found]
    yield f"coverage of {counted(report.catalogue, 'product')}", [percent(each.coverage) for each in found]
    yield "rows that are fallbacks", [percent(each.fallbacks) for each in found]
    yield "models", ["\n".join(each.models) or NOTHING for each in found]


def pair_rows(report: ReplayReport) -> Iterator[Line]:
    """A column a pair."""
    found, k, between = report.compared, report.asked.k, _between(report)
    yield "cases", [f"{each.cases:,}" for each in found]
    yield "visitors", [f"{each.visitors:,}" for each in found]
    yield f"hit rate @{k}, points", [told(each.hit_rate_difference, points) for each in found]
    yield f"  {between}", [interval(each.hit_rate_difference, points) for each in found]
    yield f"MRR @{k}", [told(each.mrr_difference, change) for each in found]
    yield f"  {between}", [interval(each.mrr_difference, change) for each in found]
    yield "next product higher / lower", [f"{each.better:,} / {each.worse:,}" for each in found]
    yield f"overlap @{k}", [told(each.overlap, percent) for each in found]
    yield f"  {between}", [interval(each.overlap, percent) for each in found]
    yield "Kendall's tau of common products", [told(each.rank_correlation, decimal) for each in found]
    yield f"  {between}", [interval(each.rank_correlation, decimal) for each in found]
    yield "equal rows", [f"{each.equal_rows:,}" for each in found]


def _between(report: ReplayReport) -> str:
    return f"{report.asked.confidence:.0%} interval"
