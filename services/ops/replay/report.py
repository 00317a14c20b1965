"""The report of a replay: its figures, what has to be known beside them, and one sentence. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from services.ops.replay import evaluation
from services.ops.replay.evaluation import Rows
from services.ops.replay.figures import (
    LIVE,
    SHADOW,
    SHOWN,
    FeedFigures,
    FrontPoint,
    Quality,
    ReplayParameters,
    ReplayReport,
    RowsCompared,
    SessionsCompared,
    as_text,
    change,
    count_noun,
    interval,
    percent,
    points,
)
from services.ops.replay.next_click import Case

FEW_VISITORS: Final = 30  # below it, percentile intervals are too narrow

SEEN_BY_ALL: Final = (
    "Clicks were made on what live showed. A product that was not shown could hardly be clicked, so hit "
    "rates of rows that nobody saw are too low, and rows that are near to what was shown look better than "
    "others."
)
EXPOSED: Final = f"“{SHOWN}” is no fair rival: the visitor saw that row, and may have clicked because of it."
FAIR: Final = (
    f"Whether the new settings would have been better is told by “{SHADOW}” against “{LIVE}”: the visitor "
    f"saw neither. Even there “{LIVE}” is nearer to what was shown, so a small loss of “{SHADOW}” may come "
    "of that alone."
)


def report(  # noqa: PLR0917 - in the order in which a replay comes to know them
    asked: ReplayParameters,
    fed: FeedFigures,
    sessions: SessionsCompared | None,
    cases: Collection[Case],
    rows: Mapping[str, Rows],
    catalogue: int,
    notes: Sequence[str],
    now: int,
    front: tuple[FrontPoint, ...] = (),
) -> ReplayReport:
    """All figures of a replay. `rows` are the pipelines' by name, in the order in which they are to be shown;
    `catalogue` counts the products that rows are made of; `now` is Unix ms; `front` is by objective.
    """
    known = {name: {case: each[case] for case in cases if case in each} for name, each in rows.items()}
    qualities = tuple(
        evaluation.quality(name, each, asked.k, catalogue, asked.confidence) for name, each in known.items()
    )
    pairs = tuple(
        evaluation.compare_rows(name, known[name], other, known[other], asked.k, asked.confidence)
        for name, other in combinations(known, 2)
    )
    return ReplayReport(
        asked=asked,
        created_at=now,
        fed=fed,
        catalogue=catalogue,
        sessions=sessions,
        qualities=qualities,
        compared=pairs,
        front=front,
        verdict=verdict(asked, pairs) if rows else "",
        notes=tuple(dict.fromkeys([*notes, *_notes(asked, len(cases), known, qualities)])),
    )


def verdict(asked: ReplayParameters, pairs: Sequence[RowsCompared]) -> str:
    """Whether the shadow would have been better, in one sentence: by the hit rate, and by its interval.

    Of few visitors neither yes nor no is said, for their intervals are too narrow. The mean reciprocal rank
    has a say only where it speaks against a better hit rate.
    """
    pair = next((each for each in pairs if (each.name, each.with_name) == (SHADOW, LIVE)), None)
    if pair is None:
        return f"Nothing was changed: “{SHADOW}” has the live settings, so there is nothing to be better."
    if pair.cases == 0:
        return (
            "It cannot be told: nobody clicked on a product that was new to them within the range, so there "
            "is nothing to measure by (0 cases)."
        )
    if pair.equal_rows == pair.cases:
        return f"No: both made the same {count_noun(pair.cases, 'row')}, product by product."
    return _describe(asked, pair)


def _describe(asked: ReplayParameters, pair: RowsCompared) -> str:
    hit, mrr = pair.hit_rate_difference, pair.mrr_difference
    of = f"{count_noun(pair.cases, 'case')} of {count_noun(pair.visitors, 'visitor')}"
    ours, theirs = pair.hit_rates
    rates = (
        f"the next product was among the first {asked.k} in {percent(ours)} of the cases, with {LIVE} in "
        f"{percent(theirs)}"
    )
    if hit.low is None or hit.high is None:
        return f"It cannot be told: fewer than 5 visitors make the difference; {rates} ({of})."
    difference = f"difference of {as_text(hit, points)} points"
    between = f"{asked.confidence:.0%} interval {interval(hit, points)}"
    found = f"{rates}, a {difference} ({between}; {of})"
    if pair.visitors < FEW_VISITORS:
        return f"It cannot be told of fewer than {FEW_VISITORS} visitors: {found}."
    if hit.low > 0 and mrr.high is not None and mrr.high < 0:
        return f"It cannot be told: {found}, but it stood further down there (MRR {as_text(mrr, change)})."
    if hit.low > 0:
        return f"Yes: {found}."
    if hit.high < 0:
        return f"No, it would have been worse: {found}."
    return f"It cannot be told: the {difference} ({between}) may be chance; {rates} ({of})."


def _notes(
    asked: ReplayParameters, cases: int, rows: Mapping[str, Rows], qualities: Sequence[Quality]
) -> Iterator[str]:
    if not rows:
        return
    yield SEEN_BY_ALL
    if rows.get(SHOWN):
        yield EXPOSED
        shown, k = rows[SHOWN].values(), asked.k
        if shorter := sum(len(row.product_ids) < k for row in shown):
            yield (
                f"{shorter:,} of {len(shown):,} rows that were shown had fewer than {k} products: their hit "
                "rate is of fewer places, and in pairs with them the other row is cut to the same length."
            )
    if LIVE in rows:
        yield FAIR
    for each in qualities:
        yield from _notes_of_pipeline(each, cases, rows[each.name])


def _notes_of_pipeline(quality: Quality, cases: int, rows: Rows) -> Iterator[str]:
    name = quality.name
    if quality.cases < cases:
        yield (
            f"{name}: rows for {quality.cases:,} of {cases:,} cases; the others count in none of its "
            "figures, so compare by the differences, which are of the same cases."
        )
    if 0 < quality.visitors < FEW_VISITORS:
        few = count_noun(quality.visitors, "visitor")
        yield f"{name}: only {few}; intervals of so few are rough, and rather too narrow."
    versions: dict[str, set[str]] = {}
    for row in rows.values():
        for model, version in row.models.items():
            versions.setdefault(model, set()).add(version)
    several = [f"{model} {', '.join(sorted(each))}" for model, each in versions.items() if len(each) > 1]
    if several:
        yield f"{name}: its rows are of several models ({'; '.join(several)}), mixed in its figures."
    treated = sum(bool(row.experiments) for row in rows.values())
    if treated and name == SHOWN:  # a shadow's own weights are an experiment of which everybody is part
        names = ", ".join(sorted({each for row in rows.values() for each in row.experiments}))
        yield f"{name}: {treated:,} of its rows are of variants of experiments ({names}): a mixture."
