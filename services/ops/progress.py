"""A load's progress bar, on stderr: how much of the file is read, what is sent, how long it will take."""

from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from services.ops.feeds.source import Feed

EVERY: Final = 500  # rows, between two looks at how far the file is read


class Speed(ProgressColumn):
    """Messages a second, since the beginning."""

    def render(self, task: Task) -> Text:
        """Empty before the first batch."""
        sent = task.fields["sent"]
        return Text(f"{sent / task.elapsed:,.0f}/s" if sent and task.elapsed else "")


class LoadBar:
    """The bar of one load. Used in a `with`."""

    def __init__(self, name: str, feed: Feed) -> None:
        self._feed = feed
        self._sent = 0
        self._bar = Progress(
            SpinnerColumn(), TextColumn(name), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[sent]:,} sent"), Speed(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task(name, total=1.0, sent=0)

    def __enter__(self) -> "LoadBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, sent: int = 0) -> None:
        """So many more messages were accepted, and the file may have been read further."""
        self._sent += sent
        self._bar.update(self._task, completed=self._feed.share, sent=self._sent)
