"""How much each event of a session counts: in its visit, in the slow profile, in each interest. Pure.

Plain loops: for at most 64 events they are faster than numpy's calls.
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from math import exp2
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.sessions import SessionEvent
from services.model.tuning import Tuning

Rows = npt.NDArray[np.float32]


class Liking(NamedTuple):
    """A top-level category of the current visit.

    `events` are the indices of its events, newest first, and `heaviest` of the one that counts most; of all
    likings' weight it has the part `share`.
    """

    category: str
    events: list[int]
    heaviest: int
    share: float


class Counts(NamedTuple):
    """(1 + likings, n) what each event counts in the session's vector, and then in that of each liking."""

    rows: Rows
    likings: list[Liking]


def weighed(
    events: Sequence[SessionEvent],
    categories: Sequence[str | None],
    missing: Sequence[int],
    tuning: Tuning,
) -> Counts:
    """What the events of a session count, given the top-level category of each one's product.

    `missing` are the indices of events whose product has no vector: they count nothing, and their category is
    None.
    """
    starts = visits(events, tuning.gap_ms)
    weights = event_weights(events, starts, tuning)
    for index in missing:
        weights[index] = 0.0
    slow, start = slow_weights(events, starts, weights, tuning), starts[-1]
    liked = likings(start, categories, weights, tuning.interests_max)
    rows = [slow + weights[start:]]
    for _, indices, _, share in liked:
        # Each liking has its part of the slow profile: what is known of taste warms all of them alike.
        row = [share * each for each in slow] + [0.0] * (len(events) - start)
        for index in indices:
            row[index] = weights[index]
        rows.append(row)
    counts = np.fromiter(chain.from_iterable(rows), np.float32, len(rows) * len(events))
    return Counts(counts.reshape(len(rows), -1), liked)


def visits(events: Sequence[SessionEvent], gap_ms: int) -> list[int]:
    """Where each visit begins, oldest first: the indices of its first event.

    More than `gap_ms` without an event ends a visit.
    """
    times = [entry.occurred_at for entry in events]
    return [0, *[index for index in range(1, len(times)) if times[index] - times[index - 1] > gap_ms]]


def event_weights(events: Sequence[SessionEvent], starts: Sequence[int], tuning: Tuning) -> list[float]:
    """type_weight · 2^(−rank / h_n) · 2^(−(t_last − t) / h_t), each event within its visit (DESIGN §4).

    The rank is counted from the visit's newest event.
    """
    of_kind, per_rank, per_ms = tuning.kind_weights, 1 / tuning.half_life_rank, 1 / tuning.half_life_age_ms
    ends, end, ended, weights = iter([*starts[1:], len(events)]), 0, 0, []
    for index, entry in enumerate(events):
        if index == end:  # a visit begins
            end = next(ends)
            ended = events[end - 1].occurred_at
        decay = (end - 1 - index) * per_rank + (ended - entry.occurred_at) * per_ms
        weights.append(of_kind[entry.kind] * exp2(-decay))
    return weights


def slow_weights(
    events: Sequence[SessionEvent], starts: Sequence[int], weights: Sequence[float], tuning: Tuning
) -> list[float]:
    """What each event of the older visits counts in their profile, given what it counts in its own visit.

    A visit counts as the weighted mean of its products, and half as much every 14 days. The profile is the
    mean of the visits, or less where all are old: then it warms the current visit less.
    """
    now, per_ms = events[-1].occurred_at, 1 / tuning.half_life_slow_ms
    slow: list[float] = []
    total = 0.0
    for start, end in pairwise(starts):
        within = weights[start:end]
        mass = sum(map(abs, within)) if len(within) > 1 else abs(within[0])
        count = exp2((events[end - 1].occurred_at - now) * per_ms) if mass > 0 else 0.0
        total += count
        share = count / (mass or 1.0)
        for weight in within:
            slow.append(weight * share)
    scale = tuning.slow_weight / max(total, 1.0)
    return [each * scale for each in slow]


def likings(
    start: int, categories: Sequence[str | None], weights: Sequence[float], most: int
) -> list[Liking]:
    """The newest categories of the visit from `start` on that weigh more than nothing, heaviest first."""
    found: dict[str, list[int]] = {}
    for index in range(len(categories) - 1, start - 1, -1):
        category = categories[index]
        if category in found:
            found[category].append(index)
        elif category is not None:
            found[category] = [index]
    counted = {name: [weights[index] for index in indices] for name, indices in found.items()}
    newest = [(-mass, name) for name, each in counted.items() if (mass := sum(each)) > 0][:most]
    total = sum([mass for mass, _ in newest])
    return [
        Liking(name, found[name], found[name][_greatest(counted[name])], round(mass / total, 6))
        for mass, name in sorted(newest)
    ]


def _greatest(numbers: list[float]) -> int:
    return numbers.index(max(numbers))
