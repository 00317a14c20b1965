"""Which push showed which event, and how long its way and each part of it took. Pure.

Recommendations are state, not a log: where a visitor's events come close together, the recommender makes one
row for them (DESIGN §5), which names the newest. So an event counts as shown at the first push that names
it; one that no push names counts at the first push on the same socket that names an event sent after it,
for the session it was made from holds both. How many were shown that way is told as `coalesced`. A POST may
overtake another of its visitor on its way, and then the last row holds events that were sent after the one
it names: those that the visitor's session remembers in the end count at the visitor's last push. An event
that no push showed counts as waiting until the end of the recording, and is told as `lost`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import numpy.typing as npt

from tests.benchmark.recording import Push, Recording, SentEvent
from tests.benchmark.spread import Seconds

NEVER = float("nan")


@dataclass(frozen=True)
class Shown:
    """For each event of a recording, in its order: when it was seen on the page, and by which push."""

    at: Seconds
    naming: tuple[Push | None, ...]

    @property
    def named(self) -> npt.NDArray[np.bool_]:
        """Which events a push names."""
        return np.array([push is not None for push in self.naming], dtype=np.bool_)

    @property
    def lost(self) -> npt.NDArray[np.bool_]:
        """Which events no push showed."""
        return np.isnan(self.at)


def match_pushes(
    events: Sequence[SentEvent], pushes: Iterable[Push], remembered: Collection[str] = ()
) -> Shown:
    """Matches pushes, in the order of their arrival, with events; `remembered` are ids of events."""
    first: dict[str, Push] = {}
    last: dict[int, float] = {}
    for each in pushes:
        first.setdefault(each.caused_by, each)
        last[each.visitor] = each.at
    naming = tuple(first.get(event.event_id) for event in events)
    at = np.full(len(events), NEVER)
    for numbers in _by_visitor(events).values():
        earliest = NEVER  # arrival of the first push that names this event or a later one
        for number in reversed(numbers):
            if (push := naming[number]) is not None:
                at[number] = push.at
                earliest = float(np.fmin(earliest, push.at))
            elif isnan(earliest) and events[number].event_id in remembered:
                at[number] = last.get(events[number].visitor, NEVER)
            else:
                at[number] = earliest
    return Shown(at, naming)


def _by_visitor(events: Sequence[SentEvent]) -> dict[int, list[int]]:
    """Numbers of each visitor's events, in the order in which they were sent."""
    numbers: defaultdict[int, list[int]] = defaultdict(list)
    for number in sorted(range(len(events)), key=lambda each: events[each].first_byte):
        numbers[events[number].visitor].append(number)
    return numbers


def latencies(recording: Recording, found: Shown) -> Seconds:
    """Event → push, counted from when the POST's first byte was due: a late generator is no excuse."""
    due = np.array([event.due for event in recording.events])
    seen: Seconds = np.where(found.lost, recording.ended, found.at) - due
    return seen


def stages(recording: Recording, found: Shown) -> dict[str, Seconds]:
    """The parts of the way of the events that a push names.

    The services' clocks are the same machine's. ingest notes whole milliseconds, rounded down, so `accepted`
    looks up to 1 ms shorter, and `folded` longer, than they are.
    """
    ways = [
        (event, push, push.timing)
        for event, push in zip(recording.events, found.naming, strict=True)
        if push is not None
    ]
    timed = [way for way in ways if way[2].accepted_at is not None and way[2].folded_at is not None]
    stations = np.array(
        [
            (
                event.due,
                event.first_byte,
                _s(timing.accepted_at) - recording.clock_offset_s,
                _s(timing.folded_at) - recording.clock_offset_s,
                _s(timing.pushed_at) - recording.clock_offset_s,
                push.at,
            )
            for event, push, timing in timed
        ]
    ).reshape(-1, 6)
    return dict(zip(STAGES, np.diff(stations, axis=1).T, strict=True))


STAGES = (
    "generator late",  # due → first byte of the POST
    "accepted",  # → ingest has read it
    "folded",  # → through Kafka, the session is computed
    "row made",  # → through Kafka, the recommender has made the row
    "received",  # → the message is in the client
)


def _s(unix_ms: float | None) -> float:
    return NEVER if unix_ms is None else unix_ms / 1000


def growth_s(recording: Recording, waited: Seconds) -> float:
    """How much longer the last third of the events waited than the first, in the median.

    At a constant rate a growing backlog is a growing wait (Little's law).
    """
    if not len(waited):
        return 0.0
    due = np.array([event.due for event in recording.events]) - recording.began
    first = waited[due < recording.seconds / 3]
    last = waited[due >= recording.seconds * 2 / 3]
    return float(np.median(last) - np.median(first)) if len(first) and len(last) else 0.0
