"""How far a long run is: a bar on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

T = TypeVar("T")

LINE_EVERY_S: Final = 30.0


class Progress(Protocol):
    """What work tells of itself. A stage ends where the next begins."""

    def stage(self, name: str, total: int | None = None) -> None:
        """The next stage: what it is called, and how much there is to do, where that is known."""

    def advance(self, n: int = 1) -> None:
        """So much more is done."""


class Silent:
    """Tells nobody."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Nothing."""

    def advance(self, n: int = 1) -> None:
        """Nothing."""


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


def _words() -> TextColumn:
    """What is done; a file may be called `[red]` or `{0}`."""
    return TextColumn("{task.description}", markup=False)


class Bars:
    """A bar a stage on a terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            SpinnerColumn(), _words(), BarColumn(), MofNCompleteColumn(), _Speed(),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._bars.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """A new bar; the one before is full."""
        self._finish()
        self._task = self._bars.add_task(name, total=total)

    def advance(self, n: int = 1) -> None:
        """Moves the newest bar."""
        if self._task is not None:
            self._bars.advance(self._task, n)

    def _finish(self) -> None:
        if self._task is not None:
            done = self._bars.tasks[self._task].completed
            self._bars.update(self._task, total=done, completed=done)


class _MeanSpeed(ProgressColumn):
    def render(self, task: Task) -> Text:
        sent = task.fields["sent"]
        return Text(f"{sent / task.elapsed:,.0f}/s" if sent and task.elapsed else "")


class FileBar:
    """The bar of one file that is read and sent; `share` tells how much of it is read, from 0 to 1."""

    def __init__(self, name: str, share: Callable[[], float], console: Console) -> None:
        self._share = share
        self._sent = 0
        self._bar = RichProgress(
            SpinnerColumn(), _words(), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[sent]:,} sent"), _MeanSpeed(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task(name, total=1.0, sent=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, sent: int = 0) -> None:
        """So many more were taken, and the file may have been read further."""
        self._sent += sent
        self._bar.update(self._task, completed=self._share(), sent=self._sent)


class Lines:
    """A line when a stage begins, one every 30 s, and one at its end: for logs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._name: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()

    def stage(self, name: str, total: int | None = None) -> None:
        """Ends the stage before."""
        self._finish()
        self._name, self._total, self._done = name, total, 0
        self._began = self._told = self._clock()
        self._say(f"{name} …")

    def advance(self, n: int = 1) -> None:
        """Counts; seldom says so."""
        self._done += n
        if self._clock() - self._told >= LINE_EVERY_S:
            self._told = self._clock()
            of = "" if self._total is None else f" of {self._total:,}"
            self._say(f"{self._name}: {self._done:,}{of}, {self._rate()}")

    def _finish(self) -> None:
        if self._name is not None:
            seconds = self._clock() - self._began
            counted = f" {self._done:,}," if self._done else ""
            rate = f", {self._rate()}" if self._done else ""
            self._say(f"{self._name}:{counted} {seconds:.1f} s{rate}")
        self._name = None

    def _rate(self) -> str:
        return f"{self._done / max(self._clock() - self._began, 1e-9):,.0f}/s"

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)


def track(batches: Iterable[Sequence[T]], progress: Progress, stage: str, total: int) -> Iterator[T]:
    """The items of all batches, as a stage; a batch is done when the first item of the next is asked for."""
    progress.stage(stage, total)
    for batch in batches:
        yield from batch
        progress.advance(len(batch))


def create_progress(console: Console) -> Bars | Lines:
    """Bars on a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)
