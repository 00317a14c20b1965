"""What a report is asked for, what reading had to leave out, and why there may be no report."""

import msgspec


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Times are Unix ms, None where the range is open."""

    experiment: str
    since: int | None = None
    until: int | None = None
    slot: str | None = None
    window_ms: int
    confidence: float


class Left(msgspec.Struct):
    """Messages that were left out."""

    no_events: int = 0
    no_impressions: int = 0
    erased: int = 0
    unreadable_erasures: int = 0
    unreadable_identities: int = 0


class CannotTell(Exception):
    """There is nothing to report on; the text says why, and what to do."""


class UnknownExperiment(CannotTell):
    """The topic has no such experiment."""


class NothingShown(CannotTell):
    """No row of the experiment was shown in the range."""
