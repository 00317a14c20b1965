"""The live loop: event → push at several rates, the highest rate held, and bare Kafka beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from tests.benchmark import profiles, two_hops
from tests.benchmark.load import Load, Tell
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.spread import Spread
from tests.benchmark.system import System
from tests.benchmark.usage import Processes, Stopwatch
from tests.benchmark.window import Window

RATES: Final = (100, 200, 300, 500, 750, 1000, 1500)  # events a second
BARE_RATE: Final = 300  # where the aim is set
BARE_S: Final = 10.0  # at each rate
STEP: Final = 1.25
WARM_UP_RATE: Final = 300
WARM_UP_S: Final = 15.0  # the broker's JVM compiles what it finds hot

Progress = Callable[[str, float], AbstractContextManager[Tell]]  # what runs now, and for how many seconds


@dataclass(frozen=True)
class Plan:
    """What is measured: rates in events a second, each for so many seconds."""

    rates: Sequence[int] = RATES
    seconds: float = 30.0
    warm_up_s: float = WARM_UP_S
    visitors: int = 200
    search: bool = True
    profile: Path | None = None  # folder for py-spy's stacks


class LiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured. Times in ms, memory in MB."""

    machine: Machine
    system: str
    products: int
    sockets: int
    windows: list[Window]
    search: list[Window]
    held: list[int]  # rates
    held_rate: int  # 0 where none was
    bare: dict[str, Spread]  # two hops of Kafka alone, by events a second
    times_bare: dict[str, float]  # event → push at 300/s over bare Kafka's two hops: p50, p90, p99
    idle_mb: dict[str, float]
    loaded_mb: dict[str, float]


def measure(system: System, plan: Plan, progress: Progress) -> LiveFigures:
    """Runs the whole plan. Blocks; its progress is told."""
    machine, products = this_machine(), system.products()
    bare = {}
    for rate in sorted({BARE_RATE, *plan.rates}):
        seconds = min(plan.seconds, BARE_S)
        with progress(f"bare Kafka, two hops, {rate}/s", seconds) as tell:
            bare[str(rate)] = two_hops.measure(system.settings, rate, seconds, tell)
    bench = _Bench(system, plan, progress)
    measured = uvloop.run(bench.run(products))
    held = sorted({each.rate for each in measured.all if each.not_held_because is None})
    at_aim = next((window for window in measured.windows if window.rate == BARE_RATE), None)
    return LiveFigures(
        machine=machine,
        system=system.kind,
        products=len(products),
        sockets=plan.visitors,
        windows=measured.windows,
        search=measured.search,
        held=held,
        held_rate=max(held, default=0),
        bare=bare,
        times_bare=_ratios(at_aim.event_to_push, bare[str(BARE_RATE)]) if at_aim else {},
        idle_mb=measured.idle_mb,
        loaded_mb=measured.loaded_mb,
    )


def _ratios(ours: Spread, bare: Spread) -> dict[str, float]:
    return {
        name: round(getattr(ours, name) / getattr(bare, name), 2) if getattr(bare, name) else 0.0
        for name in ("p50", "p90", "p99")
    }


class _Measured(msgspec.Struct):
    windows: list[Window] = []
    search: list[Window] = []
    idle_mb: dict[str, float] = {}
    loaded_mb: dict[str, float] = {}

    @property
    def all(self) -> list[Window]:
        return [*self.windows, *self.search]


class _Bench:
    """One run of the load generator."""

    def __init__(self, system: System, plan: Plan, progress: Progress) -> None:
        self._system = system
        self._plan = plan
        self._progress = progress
        self._processes = Processes(system.pids)

    async def run(self, products: Sequence[str]) -> _Measured:
        load = await Load(self._system.ingest_url, self._system.recommender_url, products).open(
            self._plan.visitors
        )
        measured = _Measured()
        try:
            measured.idle_mb = self._processes.resident_mb()
            with self._progress("warming up", self._plan.warm_up_s) as tell:
                await load.run(WARM_UP_RATE, self._plan.warm_up_s, tell)
            for rate in self._plan.rates:
                measured.windows.append(await self._window(load, rate))
            measured.loaded_mb = self._processes.resident_mb()
            if self._plan.search:
                await self._search(load, measured)
        finally:
            load.close()
        return measured

    async def _window(self, load: Load, rate: int) -> Window:
        stopwatch = Stopwatch(self._processes)
        cores: dict[str, float] = {}

        def tell_and_note(seconds: float) -> None:
            cores.update(stopwatch.cores())  # up to now: the draining afterwards is no part of the window
            tell(seconds)

        with self._progress(f"{rate} events/s", self._plan.seconds) as tell, self._profile(rate):
            recording = await load.run(rate, self._plan.seconds, tell_and_note)
        return Window.of(rate, recording, cores)

    @contextmanager
    def _profile(self, rate: int) -> Iterator[None]:
        folder = self._plan.profile
        with (
            profiles.recording(self._system.pids, int(self._plan.seconds), folder, rate)
            if folder
            else nullcontext()
        ):
            yield

    async def _search(self, load: Load, measured: _Measured) -> None:
        """A quarter more each time from the highest rate held, until one is not held twice in a row."""
        held = [window.rate for window in measured.windows if window.not_held_because is None]
        rate = round(max(held) * STEP) if held else min(self._plan.rates) // 2
        failures = 0
        while failures < 2 and rate > 0:
            measured.search.append(await self._window(load, rate))
            if measured.search[-1].not_held_because is None:
                rate, failures = round(rate * STEP), 0
            else:
                failures += 1
