"""What a replay measures: structs that the terminal, --json and the HTML page show alike, and their words."""

from collections.abc import Callable
from typing import Final

import msgspec

from services.ops.experiments.statistics import Estimate

SHADOW: Final = "shadow"
LIVE: Final = "live settings"  # the same events through today's live settings
SHOWN: Final = "as shown"  # what visitors had before their eyes

OVERLAP_BINS: Final = 10
NOTHING: Final = "–"

Figure = Callable[[float], str]


class ReplayParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as the command line says it; times are Unix ms."""

    since: int | None
    until: int | None
    speed: str
    prefix: str | None = None  # None: into the live pipeline
    visitor_id: str | None = None
    archive: str | None = None
    models: tuple[str, ...] = ()  # NAME=VERSION as they were resolved
    settings: dict[str, str] = {}  # what differs from the live settings, by name
    weights: dict[str, dict[str, float]] = {}  # kind of row → weights that differ
    k: int = 12
    confidence: float = 0.95


class FeedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent. `seconds` is until the last event was folded and its session acknowledged."""

    events: int
    visitors: int
    bad: int  # messages that are no events: left out
    erased: int  # events of erased visitors: left out
    since: int  # time of the first and of the last event by which the broker took them, Unix ms
    until: int
    seconds: float
    events_per_s: float
    workers: int


class Difference(msgspec.Struct, frozen=True):
    """One visitor whose sessions differ, and in what."""

    visitor_id: str
    what: str


class SessionsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions byte for byte. Two replays of one range have one `digest`: sha256 over all, by visitor."""

    digest: str
    visitors: int
    equal: int
    different: int
    beyond: int  # live holds events of before or after the range, so nothing can be said
    missing: int  # live holds no session of the visitor (any more)
    differences: tuple[Difference, ...] = ()  # some of them


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How well the rows of one pipeline tell the next click, over `cases`.

    `hit_rate` is the share of cases whose next product is in the row, `mrr` the mean of 1/rank there (else
    0), `coverage` the share of the catalogue that is in anybody's row, `fallbacks` the share of rows that
    are not what was asked for. `hits_by_rank` counts the cases whose product is at rank 1, 2, … of the row.
    """

    name: str  # SHADOW, LIVE or SHOWN
    cases: int
    visitors: int
    hit_rate: Estimate
    mrr: Estimate
    coverage: float
    fallbacks: float
    models: tuple[str, ...] = ()
    hits_by_rank: tuple[int, ...] = ()


class RowsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Two pipelines on the cases that both have rows for; differences are `name` minus `with_name`.

    `overlap` is the mean share of products that are in both rows, `rank_correlation` the mean Kendall's tau
    of the products in both, over the `correlated` cases with at least two of them. `better` counts the cases
    in which the next product stands higher in the row of `name` (or only there), `worse` the other way round.
    `overlaps` counts the cases by their overlap: below a tenth, below two tenths, …, the last with 1.
    A row that was shown may be shorter than those asked for: the other is cut to its length.
    """

    name: str
    with_name: str
    cases: int
    visitors: int
    overlap: Estimate
    rank_correlation: Estimate
    hit_rate_difference: Estimate
    mrr_difference: Estimate
    equal_rows: int
    hit_rates: tuple[float, float] = (0.0, 0.0)  # of `name` and of `with_name`, on these cases
    correlated: int = 0
    better: int = 0
    worse: int = 0
    overlaps: tuple[int, ...] = ()


class FrontPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Rows ordered for one mixture: the share of cases whose next product is in them, of clicks and of those
    whose product the visitor bought later.
    """

    objective: str  # as buy:0.25,click:0.75
    clicks: Estimate
    buys: Estimate
    click_cases: int
    buy_cases: int


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `notes` are sentences that a reader of the figures has to know."""

    asked: ReplayParameters
    created_at: int
    fed: FeedFigures
    catalogue: int = 0  # products
    sessions: SessionsCompared | None = None
    qualities: tuple[Quality, ...] = ()
    compared: tuple[RowsCompared, ...] = ()
    front: tuple[FrontPoint, ...] = ()  # of the shadow, from clicks alone to purchases alone
    verdict: str = ""  # one sentence: would it have been better?
    notes: tuple[str, ...] = ()


def percent(value: float) -> str:
    """A share: 12.3%."""
    return f"{value:.1%}"


def decimal(value: float) -> str:
    """A mean that is no share: 0.123."""
    return f"{value:.3f}"


def points(value: float) -> str:
    """A difference of shares, in percentage points: +1.2."""
    return _with_sign(f"{100 * value:+.1f}")


def change(value: float) -> str:
    """A difference of means: +0.012."""
    return _with_sign(f"{value:+.3f}")


def as_text(estimate: Estimate, figure: Figure) -> str:
    """The figure itself."""
    return NOTHING if estimate.value is None else figure(estimate.value)


def interval(estimate: Estimate, figure: Figure) -> str:
    """Its interval, or that there is none."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    return f"{figure(estimate.low)} to {figure(estimate.high)}"


def count_noun(count: int, noun: str) -> str:
    """1 case, 2,000 cases."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _with_sign(text: str) -> str:
    """A minus is as wide as a plus, and nothing has no sign."""
    return text[1:] if not text.strip("+-0.") else text.replace("-", "−")


def advantage(report: ReplayReport) -> str:
    """What stands beside every figure of rows as they were shown; an empty text where there are none."""
    if not any(each.name == SHOWN and each.cases for each in report.qualities):
        return ""
    return f"“{SHOWN}” has the advantage that visitors saw it and clicked on it; the others nobody saw."
