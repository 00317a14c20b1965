"""Cases and rows of a shop that never was, with a known share of hits."""

from collections.abc import Iterator, Mapping

import numpy as np

from services.ops.replay.figures import (
    LIVE,
    SHADOW,
    SHOWN,
    Difference,
    FeedFigures,
    ReplayParameters,
    SessionsCompared,
)
from services.ops.replay.next_click import Case
from services.ops.replay.recommendations import Row

K = 6
CATALOGUE = 100
ASKED = ReplayParameters(since=1_730_764_800_000, until=1_730_851_200_000, speed="max", prefix="shadow", k=K)
FED = FeedFigures(
    events=1_000, visitors=300, bad=0, erased=2, since=ASKED.since or 0, until=ASKED.until or 0,
    seconds=0.4, events_per_s=2_500.0, workers=1,
)  # fmt: skip
SESSIONS = SessionsCompared(
    digest="ab" * 32, visitors=300, equal=298, different=1, beyond=0, missing=1,
    differences=(Difference("v7", "event 2 is another"),),
)  # fmt: skip


def case(number: int, visitor: int | None = None, target: str = "wanted") -> Case:
    """One of a visitor; of each its own where none is named."""
    who = number if visitor is None else visitor
    return Case(f"v{who}", number, f"{number:026d}", number + 1, target)


def row(*product_ids: str, fallback: str | None = None, version: str = "5") -> Row:
    return Row(product_ids, fallback, {"behaviour": version})


def with_target_at(rank: int, filler: str = "p") -> Row:
    """A row of K with the target at a rank, 0 for nowhere."""
    product_ids = [f"{filler}{number}" for number in range(K)]
    if rank:
        product_ids[rank - 1] = "wanted"
    return row(*product_ids)


def shop(seed: int, people: int, rates: Mapping[str, float]) -> tuple[list[Case], dict[str, dict[Case, Row]]]:
    """Three cases a visitor; each pipeline hits with its rate, by the visitor's own taste."""
    rng = np.random.default_rng(seed)
    cases = list(_cases(people))
    luck = {each: rng.random() for each in cases}
    rows = {
        name: {
            each: with_target_at(int(rng.integers(1, K + 1)) if luck[each] < rate else 0) for each in cases
        }
        for name, rate in rates.items()
    }
    return cases, rows


def _cases(people: int) -> Iterator[Case]:
    for number in range(3 * people):
        yield case(number, number // 3)


BETTER = {SHADOW: 0.4, LIVE: 0.3}
WORSE = {SHADOW: 0.2, LIVE: 0.3, SHOWN: 0.5}
EQUAL = {SHADOW: 0.3, LIVE: 0.3}
