"""The report of an experiment: what was joined, by variant, with intervals and lifts."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from schemas.experiments import Experiment
from services.ops.experiments import statistics
from services.ops.experiments.attribution import Attribution, Bools
from services.ops.experiments.query import Omissions, ReportRequest
from services.ops.experiments.statistics import MISMATCH, Count, Estimate, Lift
from services.ops.experiments.sums import Sums

UNITS: Final = {
    "click_rate": "bootstrap over visitors",
    "visitor_click_rate": "Wilson; lift: relative risk, log interval",
    "conversion": "Wilson; lift: relative risk, log interval",
    "revenue": "bootstrap over visitors",
    "off_policy": "clicks weighed by 1/propensity, places self-normalised; bootstrap over visitors",
}


class Measure(msgspec.Struct, frozen=True):
    """A figure of a variant, and how much more it is than the first variant's; no lift for the first."""

    estimate: Estimate
    lift: Lift | None


class Revenue(msgspec.Struct, frozen=True):
    """What a variant's visitors spent in one currency; None where events named none."""

    currency: str | None
    total: float
    per_visitor: Measure


class OffPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What rows in which chance had a say would have brought in another order.

    Of their `places` below the third chance has filled `moved`. `ranked` is clicks a row, had it not. A
    lower place brings `as_ranked` clicks with the product of the ranking, `by_chance` with another near it,
    `order` is how much more the former is. Where chance filled too few to tell, `enough` is false.
    """

    rows: int
    places: int
    moved: int
    moved_clicks: int
    enough: bool
    ranked: Measure
    as_ranked: Estimate
    by_chance: Estimate
    order: Lift


class VariantReport(msgspec.Struct, frozen=True):
    """One variant. `share` is None for one that the experiment has no longer.

    `click_rate` is clicked rows / rows, `visitor_click_rate` visitors who clicked / visitors, `conversion`
    buyers / visitors. `clicks` counts distinct pairs of row and product. `purchases` fall into the window
    after a visitor's first row; `open_windows` counts visitors for whom it is not over.
    """

    name: str
    share: float | None
    visitors: int
    impressions: int
    clicked_impressions: int
    clicks: int
    clickers: int
    buyers: int
    purchases: int
    attributed_purchases: int
    purchases_without_value: int
    switched: int
    open_windows: int
    click_rate: Measure
    visitor_click_rate: Measure
    conversion: Measure
    revenue: tuple[Revenue, ...]
    off_policy: OffPolicy


class SampleRatio(msgspec.Struct, frozen=True):
    """Whether the variants are as large as their shares say; `mismatch` spoils all else."""

    p_value: float | None
    mismatch: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Times are Unix ms; `since` and `until` None where the range is open."""

    experiment: str
    running: bool
    since: int | None
    until: int | None
    slot: str | None
    window_ms: int
    confidence: float
    visitors: int
    impressions: int
    switched: int
    sample_ratio: SampleRatio
    variants: tuple[VariantReport, ...]
    methods: dict[str, str] = msgspec.field(default_factory=lambda: dict(UNITS))
    left_out: Omissions
    warnings: tuple[str, ...]


def report(
    question: ReportRequest, experiment: Experiment, joined: Attribution, left: Omissions, now_ms: int
) -> Report:
    """The report of what was joined. The experiment's first variant is what the others are compared with."""
    shares = {variant.name: variant.share for variant in experiment.variants}
    names = [*shares, *(name for name in joined.names if name not in shares)]
    places = {name: number for number, name in enumerate(joined.names)}
    sums = [
        _VariantRows(joined, np.asarray(joined.variants == places.get(name, -1)), question, now_ms)
        for name in names
    ]
    variants = tuple(
        part.describe(name, shares.get(name), None if number == 0 else sums[0])
        for number, (name, part) in enumerate(zip(names, sums, strict=True))
    )
    p_value = statistics.sample_ratio({each.name: each.visitors for each in variants}, shares)
    ratio = SampleRatio(p_value, p_value is not None and p_value < MISMATCH)
    return Report(
        experiment=experiment.name,
        running=experiment.runs(now_ms),
        since=question.since,
        until=question.until,
        slot=question.slot,
        window_ms=question.window_ms,
        confidence=question.confidence,
        visitors=len(joined),
        impressions=int(joined.shown.sum()),
        switched=int(joined.switched.sum()),
        sample_ratio=ratio,
        variants=variants,
        left_out=left,
        warnings=tuple(_warnings(variants, ratio)),
    )


class _VariantRows:
    """The persons of one variant."""

    def __init__(self, joined: Attribution, who: Bools, question: ReportRequest, now_ms: int) -> None:
        self._joined, self._who, self._confidence = joined, who, question.confidence
        self._open = joined.first_at + question.window_ms > now_ms
        self.visitors = int(who.sum())
        self.clickers = self._count(joined.clicked > 0)
        self.buyers = self._count(joined.purchases > 0)
        self.rows = Sums(joined.clicked[who].astype(float), joined.shown[who].astype(float))
        self.ranked = joined.explored.whole_rows(who)
        self.revenue = {
            currency: Sums(column[who], np.ones(self.visitors)) for currency, column in joined.revenue.items()
        }

    def describe(self, name: str, share: float | None, first: "_VariantRows | None") -> VariantReport:
        """The variant beside the first."""
        joined = self._joined
        return VariantReport(
            name=name,
            share=share,
            visitors=self.visitors,
            impressions=self._sum(joined.shown),
            clicked_impressions=self._sum(joined.clicked),
            clicks=self._sum(joined.clicks),
            clickers=self.clickers,
            buyers=self.buyers,
            purchases=self._sum(joined.purchases),
            attributed_purchases=self._sum(joined.attributed),
            purchases_without_value=self._sum(joined.valueless),
            switched=self._count(joined.switched),
            open_windows=self._count(self._open),
            click_rate=self._ratio(self.rows, None if first is None else first.rows),
            visitor_click_rate=self._share(
                self.clickers, None if first is None else first.share_of(first.clickers)
            ),
            conversion=self._share(self.buyers, None if first is None else first.share_of(first.buyers)),
            revenue=tuple(
                Revenue(
                    currency or None,
                    math.fsum(sums.above),
                    self._ratio(sums, None if first is None else first.revenue[currency]),
                )
                for currency, sums in self.revenue.items()
            ),
            off_policy=self._off_policy(None if first is None else first.ranked),
        )

    def _off_policy(self, first: Sums | None) -> OffPolicy:
        explored = self._joined.explored
        own, moved = explored.places_by_rank(self._who), explored.places_by_chance(self._who)
        return OffPolicy(
            rows=self._sum(explored.rows),
            places=self._sum(explored.places),
            moved=self._sum(explored.moved),
            moved_clicks=self._sum(explored.moved_clicks),
            enough=not moved.too_few,
            ranked=self._ratio(self.ranked, first),
            as_ranked=statistics.ratio(own, self._confidence),
            by_chance=statistics.ratio(moved, self._confidence),
            order=statistics.pair_lift(own, moved, self._confidence),
        )

    def share_of(self, count: int) -> Count:
        """So many of the variant's persons."""
        return Count(count, self.visitors)

    def _share(self, count: int, first: Count | None) -> Measure:
        ours = self.share_of(count)
        lift = None if first is None else statistics.share_lift(ours, first, self._confidence)
        return Measure(statistics.share(ours, self._confidence), lift)

    def _ratio(self, sums: Sums, first: Sums | None) -> Measure:
        lift = None if first is None else statistics.ratio_lift(sums, first, self._confidence)
        return Measure(statistics.ratio(sums, self._confidence), lift)

    def _sum(self, column: "np.typing.NDArray[np.int64]") -> int:
        return int(column[self._who].sum())

    def _count(self, holds: Bools) -> int:
        return int((holds & self._who).sum())


def _warnings(variants: Sequence[VariantReport], ratio: SampleRatio) -> list[str]:
    said = []
    if ratio.mismatch:
        said.append(
            f"sample ratio mismatch (p = {ratio.p_value:.2g}): the variants are not as large as their shares "
            "say. Either the shares were changed within the range, or assignment or recording is broken: "
            "trust no lift"
        )
    switched = sum(each.switched for each in variants)
    if switched:
        said.append(f"{switched:,} visitors were seen in two variants; they count where they were seen first")
    waiting = sum(each.open_windows for each in variants)
    if waiting:
        said.append(f"{waiting:,} visitors may still buy within the window: conversion and revenue will grow")
    gone = [each.name for each in variants if each.share is None]
    if gone:
        said.append(f"no longer part of the experiment, but shown in the range: {', '.join(gone)}")
    if not variants[0].visitors:
        said.append(f"nobody was shown {variants[0].name}, the first variant: nothing to compare with")
    return said
