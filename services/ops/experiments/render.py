"""A report for people: a table, and sentences."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from schemas.experiments import Experiment
from schemas.times import DAY_MS
from services.cli import console
from services.ops.experiments.report import Measure, OffPolicy, Report, VariantReport
from services.ops.experiments.statistics import Estimate, Lift
from services.ops.experiments.sums import EXPECTED_MIN
from services.ops.output import Column, figures, say, table
from services.time_range import TimeRange, format_time

NOTHING = "–"
Line = tuple[str, Sequence[str | Text]]  # what it is, and a cell a variant


def show(report: Report) -> None:
    """A column a variant; each rate with its interval and its lift over the first."""
    names = (
        f"{variant.name} ({'gone' if variant.share is None else f'{variant.share:.0%}'})"
        for variant in report.variants
    )
    title = f"{report.experiment}: {report.visitors:,} visitors"
    console.print(figures(title, names, _rows(report.variants)))
    for sentence in _sentences(report):
        say(sentence)
    for warning in report.warnings:
        say(f"! {warning}", "yellow")


def show_list(experiments: Sequence[Experiment], now_ms: int) -> None:
    """A line an experiment."""
    columns: tuple[Column[Experiment], ...] = (
        Column("experiment", lambda each: each.name),
        Column("variants", lambda each: ", ".join(f"{part.name} {part.share:.0%}" for part in each.variants)),
        Column("from", lambda each: NOTHING if each.starts_at is None else format_time(each.starts_at)),
        Column("to", lambda each: NOTHING if each.ends_at is None else format_time(each.ends_at)),
        Column("", lambda each: state(each, now_ms)),
    )
    console.print(table(experiments, columns) if experiments else "there are no experiments")


def state(experiment: Experiment, now_ms: int) -> str:
    """Whether an experiment runs, has ended, or is still to come."""
    if experiment.runs(now_ms):
        return "running"
    ended = experiment.ends_at is not None and experiment.ends_at <= now_ms
    return "ended" if ended else "not begun"


def _rows(variants: Sequence[VariantReport]) -> Iterator[Line]:
    counts = {
        "visitors": [each.visitors for each in variants],
        "impressions (rows)": [each.impressions for each in variants],
        "clicked rows": [each.clicked_impressions for each in variants],
        "clicks": [each.clicks for each in variants],
        "visitors who clicked": [each.clickers for each in variants],
        "visitors who bought": [each.buyers for each in variants],
        "purchases": [each.purchases for each in variants],
        "of these after a click on them": [each.attributed_purchases for each in variants],
    }
    for name, numbers in counts.items():
        yield name, [f"{number:,}" for number in numbers]
    yield from _measure_rows("click rate, rows", [each.click_rate for each in variants], percent=True)
    yield from _measure_rows(
        "click rate, visitors", [each.visitor_click_rate for each in variants], percent=True
    )
    yield from _measure_rows("conversion", [each.conversion for each in variants], percent=True)
    for number, revenue in enumerate(variants[0].revenue):
        measures = [each.revenue[number].per_visitor for each in variants]
        yield from _measure_rows(f"{revenue.currency or 'no currency'} a visitor", measures, percent=False)
    if any(each.off_policy.rows for each in variants):
        yield from _off_policy_rows([each.off_policy for each in variants])


def _off_policy_rows(variants: Sequence[OffPolicy]) -> Iterator[Line]:
    yield "lower places filled by chance", [f"{each.moved:,} of {each.places:,}" for each in variants]
    without = [each.ranked for each in variants]
    yield from _measure_rows("clicks / rows, without chance", without, percent=True)
    for name, estimates in (
        ("clicks a lower place, as ranked", [each.as_ranked for each in variants]),
        ("clicks a lower place, by chance", [each.by_chance for each in variants]),
    ):
        yield from _estimate_rows(name, estimates, percent=True)
    yield "  as ranked over by chance", [_describe_lift(each.order) for each in variants]


def _measure_rows(name: str, measures: Sequence[Measure], *, percent: bool) -> Iterator[Line]:
    yield from _estimate_rows(name, [each.estimate for each in measures], percent=percent)
    yield "  lift", [_describe_lift(each.lift) for each in measures]


def _estimate_rows(name: str, estimates: Sequence[Estimate], *, percent: bool) -> Iterator[Line]:
    yield name, [_number(each.value, percent) for each in estimates]
    intervals = [(each.low, each.high) for each in estimates]
    yield "  interval", [" … ".join(_number(end, percent) for end in interval) for interval in intervals]


def _describe_lift(lift: Lift | None) -> Text:
    if lift is None or lift.value is None:
        return Text(NOTHING)
    p = NOTHING if lift.p_value is None else f"{lift.p_value:.3g}"
    interval = " … ".join(NOTHING if end is None else f"{end:+.1%}" for end in (lift.low, lift.high))
    style = "bold" if lift.significant else "dim"
    return Text.assemble((f"{lift.value:+.1%}", style), f" ({interval}) p {p}")


def _number(value: float | None, percent: bool) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2%}" if percent else f"{value:,.2f}"


def _sentences(report: Report) -> Iterator[str]:
    slot = f" in the slot {report.slot}" if report.slot else ""
    state = "running" if report.running else "not running"
    yield f"{state}; rows shown{slot} from {TimeRange(report.since, report.until)}"
    yield (
        f"purchases count for {report.window_ms / DAY_MS:g} days after a visitor's first row; intervals at "
        f"{report.confidence:.0%}: click rate of rows and revenue by a bootstrap over visitors, shares of "
        "visitors by Wilson's interval, their lifts by relative risk"
    )
    if report.sample_ratio.p_value is not None:
        yield f"sizes against shares: p = {report.sample_ratio.p_value:.3g}"
    yield from _off_policy_sentences(report.variants)
    left = report.left_out
    for count, what in (
        (left.no_events, "messages that are no events"),
        (left.no_impressions, "messages that are no impressions"),
        (left.erased, "messages of erased visitors"),
        (left.unreadable_erasures, "erasures that could not be read: counted up to when they were sent"),
        (left.unreadable_identities, "identities that could not be read"),
    ):
        if count:
            yield f"left out: {count:,} {what}"


def _off_policy_sentences(variants: Sequence[VariantReport]) -> Iterator[str]:
    """What the estimates of other orders rest on, or why there are none."""
    if not any(each.off_policy.rows for each in variants):
        yield (
            "in no row did chance have a say, so nobody can tell what another order would have brought: "
            "set EDDY_EXPLORE_SHARE above 0"
        )
        return
    yield (
        "by chance: an estimate of clicks, were the places below the third in any order; each click is "
        "weighed by the probability with which its product stood there"
    )
    for each in variants:
        found = each.off_policy
        if not found.enough:
            yield (
                f"{each.name}: chance filled {found.moved:,} of {found.places:,} lower places, "
                f"{found.moved_clicks:,} clicks came of it: too few to tell what another order would have "
                f"brought, {EXPECTED_MIN:g} visitors who clicked there are the least; wait, or raise "
                "EDDY_EXPLORE_SHARE"
            )
