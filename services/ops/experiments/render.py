"""A report for people: a table, and sentences."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from schemas.experiments import Experiment
from schemas.times import DAY_MS
from services.cli import console
from services.ops.experiments.report import Measure, Report, VariantReport
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


def _measure_rows(name: str, measures: Sequence[Measure], *, percent: bool) -> Iterator[Line]:
    yield name, [_number(each.estimate.value, percent) for each in measures]
    intervals = [(each.estimate.low, each.estimate.high) for each in measures]
    yield "  interval", [" … ".join(_number(end, percent) for end in interval) for interval in intervals]
    yield "  lift", [_lift(each) for each in measures]


def _lift(measure: Measure) -> Text:
    lift = measure.lift
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
