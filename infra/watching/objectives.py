"""What is promised, and the rules by which Prometheus watches how fast the promise's budget is spent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Rule = dict[str, Any]

CLICK_BUDGET_S: Final = 0.1
# The way of a click, and how long each stage may take (p99). Together they are the promise.
STAGES: Final[dict[str, tuple[str, float, str]]] = {
    "ingest: Kafka has it": (
        "eddy_ingest_acknowledged_seconds",
        0.020,
        "From handing a request's events to the producer until Kafka has them all.",
    ),
    "session processor: read and folded": (
        "eddy_session_processor_accepted_to_folded_seconds",
        0.045,
        "From ingest's acceptance to the folded session: the stage before is part of it, 25 ms are its own.",
    ),
    "session processor: Kafka has the session": (
        "eddy_session_processor_acknowledged_seconds",
        0.020,
        "From the fold until Kafka has the table's change and the session.",
    ),
    "recommender: row made": (
        "eddy_recommender_compute_seconds",
        0.020,
        "From the turn of a slot to its row: candidates, filters, order, reasons.",
    ),
    "all of it: pushed": (
        "eddy_recommender_accepted_to_pushed_seconds",
        CLICK_BUDGET_S,
        "From ingest's acceptance of an event to its push; 15 ms are left for what no stage counts.",
    ),
}


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of good ones among all, over 30 days. `bad` and `all` are sums of increases, by tenant.

    `least`: below so many in the long window nobody is woken: one of three is no third.
    """

    name: str
    share: float
    told: str
    bad: str
    all: str
    least: int
    alarm: str
    runbook: str

    @property
    def series(self) -> str:
        """The recorded share of bad ones, but for its window."""
        return f"eddy:{self.name}:bad_share"

    def recorded(self) -> Iterator[Rule]:
        """A rule a window: the share of bad ones, nothing where there were none; and how many there were."""
        for window in WINDOWS:
            bad, everything = (text.replace("WINDOW", window) for text in (self.bad, self.all))
            yield {"record": f"{self.series}_{window}", "expr": f"({bad}) / (({everything}) > 0)"}
        for window in LONG:
            yield {"record": f"eddy:{self.name}:count_{window}", "expr": self.all.replace("WINDOW", window)}

    def alarms(self) -> Iterator[Rule]:
        """One a severity: the budget is being spent so fast, still now, that it will not last."""
        for severity, burns in BURNS.items():
            clauses = [
                f"({self.series}_{burn.long} > {burn.rate:g} * {self.budget:g}"
                f" and {self.series}_{burn.short} > {burn.rate:g} * {self.budget:g}"
                f" and eddy:{self.name}:count_{burn.long} > {self.least})"
                for burn in burns
            ]
            spent = " or ".join(f"{each.part} of the month's budget in {each.long}" for each in burns)
            yield {
                "alert": f"{self.alarm}{'Fast' if severity == 'page' else 'Slowly'}",
                "expr": " or ".join(clauses),
                "labels": {"severity": severity},
                "annotations": {
                    "summary": f"{self.told}: {{{{ $value | humanizePercentage }}}} are not, {spent}",
                    "runbook": f"infra/docs/runbook.md#{self.runbook}",
                },
            }

    @property
    def budget(self) -> float:
        """The share of bad ones that is allowed."""
        return round(1 - self.share, 6)


@dataclass(frozen=True, slots=True)
class Burn:
    """So many times too fast: over the long window, as it matters, and over the short one, as it lasts."""

    rate: float
    long: str
    short: str
    part: str  # of the month's budget that is gone when the alarm comes


# Site Reliability Workbook, chapter 5, table 5-8: windows and rates for an objective over 30 days.
BURNS: Final[dict[str, tuple[Burn, ...]]] = {
    "page": (Burn(14.4, "1h", "5m", "2%"), Burn(6, "6h", "30m", "5%")),
    "ticket": (Burn(3, "1d", "2h", "10%"), Burn(1, "3d", "6h", "10%")),
}
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
LONG: Final = ("1h", "6h", "1d", "3d")

_PUSHED: Final = "eddy_recommender_accepted_to_pushed_seconds"
_ACCEPTED: Final = "sum by (tenant) (increase(eddy_ingest_events_accepted_total[WINDOW]))"
_NOT_ACCEPTED: Final = (
    "sum by (tenant) (increase(eddy_ingest_events_turned_away_total[WINDOW]))"
    ' + sum by (tenant) (increase(eddy_ingest_events_rejected_total{kind="broker"}[WINDOW]))'
)

OBJECTIVES: Final = (
    Objective(
        "clicks",
        0.99,
        "99% of clicks are on the page within 100 ms",
        f"sum by (tenant) (increase({_PUSHED}_count[WINDOW]))"
        f' - sum by (tenant) (increase({_PUSHED}_bucket{{le="{CLICK_BUDGET_S}"}}[WINDOW]))',
        f"sum by (tenant) (increase({_PUSHED}_count[WINDOW]))",
        100,
        "EddyClickBudgetBurns",
        "clicks-late",
    ),
    Objective(
        "events",
        0.999,
        "99.9% of events are accepted",
        _NOT_ACCEPTED,
        f"{_ACCEPTED} + {_NOT_ACCEPTED}",
        100,
        "EddyEventBudgetBurns",
        "events-turned-away",
    ),
)


def groups() -> list[Rule]:
    """The file's groups: what is recorded of each objective, then its alarms."""
    return [
        group
        for each in OBJECTIVES
        for group in (
            {"name": f"eddy-objective-{each.name}", "interval": "30s", "rules": [*each.recorded()]},
            {"name": f"eddy-burn-{each.name}", "rules": [*each.alarms()]},
        )
    ]
