"""Rows as live showed them: what visitors had before their eyes when they clicked."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from schemas import impressions
from schemas.impressions import Shown
from schemas.topics import RECOMMENDATIONS
from services.history import erased
from services.history.erased import Erasures
from services.history.past import HistoryReader, PastMessage
from services.history.timerange import TimeRange
from services.ops.replay.cases import Case
from services.ops.replay.rows import Row

_Rank = tuple[int, int]


def shown_rows(reader: HistoryReader, cases: Collection[Case], times: TimeRange) -> dict[Case, Row]:
    """Each case's row on the visitor's page, where `recommendations` holds one within a range of time.

    That is the newest row for the visitor which the case's event has caused and which was shown before the
    next click; of none, the newest that was shown between the two by the clocks of browser and server. What
    erased visitors were shown is left out. Keeps one row a case. Raises BrokerAway, TopicMissing.
    """
    erasures = erased.read(reader)
    found = _Found(cases)
    for batch in reader.read(reader.spans(RECOMMENDATIONS, times)):
        found.extend(batch, erasures)
    return found.rows()


@dataclass(slots=True)
class _Best:
    rank: _Rank
    row: Row


class _Found:
    def __init__(self, cases: Collection[Case]) -> None:
        self._of: defaultdict[bytes, list[Case]] = defaultdict(list)
        for case in cases:
            self._of[case.visitor_id.encode()].append(case)
        self._best: dict[Case, _Best] = {}

    def extend(self, messages: Iterable[PastMessage], erasures: Erasures) -> None:
        """Takes rows; those of visitors without a case are not even decoded."""
        for message in messages:
            cases = self._of.get(message.key() or b"")
            shown = _decoded(message) if cases else None
            if not cases or shown is None or shown.kind != "for_you":
                continue
            if not erasures.leave_out(shown.visitor_id, shown.shown_at, message.timestamp()[1]):
                self._take(cases, shown)

    def rows(self) -> dict[Case, Row]:
        return {case: self._best[case].row for case in sorted(self._best)}

    def _take(self, cases: Iterable[Case], shown: Shown) -> None:
        for case in cases:
            rank = _rank(case, shown)
            best = self._best.get(case)
            if rank is not None and (best is None or rank > best.rank):
                self._best[case] = _Best(rank, _row(shown))


def _rank(case: Case, shown: Shown) -> _Rank | None:
    """How well a row fits a case, the greatest best; None where it does not."""
    if shown.caused_by == case.event_id:
        if shown.shown_at < case.next_at:
            return 2, shown.shown_at
        # The browser's clock is behind the server's, or the next page asked before its own event was folded:
        # what came first is what was clicked on.
        return 1, -shown.shown_at
    return (0, shown.shown_at) if case.at <= shown.shown_at < case.next_at else None


def _row(shown: Shown) -> Row:
    product_ids = tuple(item.product_id for item in shown.items)
    return Row(product_ids, shown.fallback, shown.models, shown.experiments)


def _decoded(message: PastMessage) -> Shown | None:
    try:
        shown = impressions.decode(message.value() or b"")
    except msgspec.MsgspecError:
        return None
    return shown if shown.visitor_id.encode() == message.key() else None
