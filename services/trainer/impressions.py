"""What rows teach that visitors saw: impressions beside events, joined and made lessons."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from schemas.sessions import SESSION_EVENTS_MAX, SessionEvent
from services.model.propensity import SeenRow, collect_clicks, estimate_examination
from services.model.session import Tuning, merge_events
from services.trainer.lambdarank import Lesson
from services.trainer.topic_history import EventColumns

T = TypeVar("T")

KINDS: Final = ("for_you",)  # rows whose order is the re-ranker's for a session
RECENT_MAX: Final = 2 * SESSION_EVENTS_MAX  # events that are looked at: clicks give way among them


@dataclass(frozen=True, slots=True)
class RowLesson:
    """What a click in a row that was shown at this moment (Unix ms) teaches."""

    shown_at: int
    lesson: Lesson


def row_lessons(rows: Sequence[SeenRow], events: EventColumns, tuning: Tuning) -> list[RowLesson]:
    """A lesson for each click on visitors' own rows, the oldest first, after the events that came before.

    The right one was clicked, and what was seen beside it was left. A click counts 1/θ of its place, on
    average 1. None where chance has not told how likely places are looked at.
    """
    curve = estimate_examination(rows)
    clicked = sorted(collect_clicks(rows, curve, KINDS), key=lambda each: (each.shown_at, each.target))
    if not clicked:
        return []
    histories = _events_of(events, {each.visitor_id for each in clicked})
    mean = sum(each.weight for each in clicked) / len(clicked)
    found: list[RowLesson] = []
    for each in clicked:
        before = [event for event in histories[each.visitor_id] if event.occurred_at < each.shown_at]
        session = merge_events((), before[-RECENT_MAX:], tuning)
        if session:
            seen = (each.target, *each.others)
            lesson = Lesson(session, frozenset({each.target}), seen, each.weight / mean)
            found.append(RowLesson(each.shown_at, lesson))
    return found


def _events_of(events: EventColumns, visitors: Iterable[str]) -> dict[str, list[SessionEvent]]:
    """In the order of time, for these visitors only."""
    number = {visitor_id: place for place, visitor_id in enumerate(events.visitor_ids)}
    wanted = sorted(number[visitor_id] for visitor_id in visitors if visitor_id in number)
    rows = np.flatnonzero(np.isin(events.visitors, wanted))
    rows = rows[np.lexsort((events.event_ids[rows], events.times[rows], events.visitors[rows]))]
    found: defaultdict[str, list[SessionEvent]] = defaultdict(list)
    for row in rows.tolist():
        found[events.visitor_ids[events.visitors[row]]].append(
            SessionEvent(
                int(events.times[row]),
                bytes(events.event_ids[row]),
                events.product_ids[events.items[row]],
                int(events.types[row]),
            )
        )
    return found


def evenly(items: Sequence[T], most: int) -> Sequence[T]:
    """All, or `most` evenly spread."""
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, most).astype(np.int64).tolist()]
