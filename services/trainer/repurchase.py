"""Which types of products are bought again, and after how long: learned from the purchases of history."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from schemas.sessions import KIND_OF
from schemas.times import DAY_MS
from services.model.repurchase import DEFAULT, Repeat, Repeats
from services.trainer.topic_history import EventColumns

BUYERS_MIN: Final = 20  # of a type: with fewer its top-level category counts, and then the default
PRIOR_BUYERS: Final = 20  # that the default counts as, beside what was seen
APART_MS: Final = DAY_MS  # purchases within a day are one: of several, or of what was forgotten
WATCHED_MS: Final = 30 * DAY_MS  # who bought first so shortly before the end has had no time to come back
PURCHASE: Final = KIND_OF["purchase"]


class ProductKind(NamedTuple):
    """What a product is, as the catalogue has it; None or empty for what it does not say."""

    type: str | None
    category: str | None


@dataclass(slots=True)
class _Buyers:
    """Of one type or category: who could have come back, who did, and the times between, in days."""

    watched: int = 0
    back: int = 0
    intervals: list[float] = field(default_factory=list)

    def add(self, times: list[int], watched_until: int) -> None:
        """One buyer's purchases, ascending, Unix ms."""
        apart = [times[0]]
        for at in times[1:]:
            if at - apart[-1] >= APART_MS:
                apart.append(at)
        self.intervals += [(later - at) / DAY_MS for at, later in pairwise(apart)]
        if times[0] <= watched_until:
            self.watched += 1
            self.back += len(apart) > 1

    def repeat(self) -> Repeat | None:
        """Drawn towards the default, as if some buyers more had been seen to follow it; None for too few."""
        if self.watched < BUYERS_MIN:
            return None
        rate = (self.back + PRIOR_BUYERS * DEFAULT.rate) / (self.watched + PRIOR_BUYERS)
        seen, prior = len(self.intervals), PRIOR_BUYERS * DEFAULT.rate
        logs = seen * np.log(median(self.intervals)) if seen else 0.0
        days = float(np.exp((logs + prior * np.log(DEFAULT.interval_days)) / (seen + prior)))
        return Repeat(round(rate, 4), round(days, 2), self.watched)


def learn_repeats(events: EventColumns, kinds: Mapping[str, ProductKind]) -> Repeats:
    """By type and by top-level category: the share of buyers that bought it again, and the median interval.

    Neither order nor repetition of events changes anything. Buyers count whose first purchase lies at least
    WATCHED_MS before the newest event, or in the first half of a shorter history; intervals of all.
    """
    rows = np.flatnonzero(events.types == PURCHASE)
    if not len(rows):
        return Repeats()
    newest, oldest = int(events.times.max()), int(events.times.min())
    watched_until = newest - min(WATCHED_MS, (newest - oldest) // 2)
    types: defaultdict[str, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    categories: defaultdict[str, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for row in rows.tolist():
        kind = kinds.get(events.product_ids[events.items[row]])
        if kind is None:
            continue
        for name, found in ((kind.type, types), (kind.category, categories)):
            if name:
                found[name][int(events.visitors[row])].add(int(events.times[row]))
    return Repeats(_learn(types, watched_until), _learn(categories, watched_until))


def _learn(bought: Mapping[str, Mapping[int, Iterable[int]]], watched_until: int) -> dict[str, Repeat]:
    found: dict[str, Repeat] = {}
    for name in sorted(bought):
        buyers = _Buyers()
        for times in bought[name].values():
            buyers.add(sorted(times), watched_until)
        if (repeat := buyers.repeat()) is not None:
            found[name] = repeat
    return found
