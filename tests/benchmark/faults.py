"""What faults of a cluster cost: latency by second around each, and how soon every page was right again."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from tests.benchmark.machine import Machine
from tests.benchmark.spread import Spread
from tests.support.crowd import Count

BEFORE_S = 5  # how much of a curve lies before its fault


class Second(msgspec.Struct, frozen=True):
    """The clicks that were made in one second: how many, and ms until their page showed them."""

    second: int  # after the fault began; below 0 before it
    count: int
    p50: float
    p99: float


class FaultFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `lasted_s`: how long what was done took, as a worker's stop does.

    After that, of the pages that were open before: `sockets_back_s` until all were connected, and what the
    first click on a page took at most until the page showed it. `curve`: by the second of the click.
    """

    name: str
    lasted_s: float
    sockets_back_s: float
    next_click_s: float
    longest_without_202_s: float
    longest_without_push_s: float
    curve: list[Second]


class ClusterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of a run. Times in seconds, those of `calm` in ms.

    `cores`: how many of them each kind of process kept busy before the first fault, all of a kind together.
    """

    machine: Machine
    brokers: int
    replicas: int
    members: dict[str, int]  # service → how many
    rate: float  # events a second that were aimed at
    reached: float  # and made, from the first fault to the last
    pages: int
    calm: Spread
    cores: dict[str, float]
    faults: list[FaultFigures]
    accepted: int
    settled_after_s: float
    left: Count
    wrong_pages: int


def curve_of(shown: Iterable[tuple[float, float]], began: float, ended: float) -> list[Second]:
    """By second, of clicks as (made, shown): from BEFORE_S before `began` to `ended`."""
    by_second: dict[int, list[float]] = {}
    for made, seen in shown:
        if began - BEFORE_S <= made <= ended:
            by_second.setdefault(int(np.floor(made - began)), []).append(seen - made)
    return [_second(second, waited) for second, waited in sorted(by_second.items())]


def _second(second: int, waited: Sequence[float]) -> Second:
    spread = Spread.of(np.array(waited))
    return Second(second, spread.count, spread.p50, spread.p99)
