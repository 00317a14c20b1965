"""Entries that hold for a time, as a compacted topic tells them. Pure: time comes as an argument."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final, Generic, Protocol, TypeVar


class ScheduledEntry(Protocol):
    """Holds from `starts_at` up to, not including, `ends_at`, Unix time in ms; None for always."""

    @property
    def starts_at(self) -> int | None:
        """The first moment."""

    @property
    def ends_at(self) -> int | None:
        """The first moment after it."""

    @property
    def updated_at(self) -> int:
        """When somebody changed it last."""


T = TypeVar("T", bound=ScheduledEntry)

NEVER: Final = (inf, -inf)  # a span that no moment lies in


class Schedule(Generic[T]):
    """Entries by name; of two with one name the later message counts.

    `holds` tells whether an entry does at a moment, `plain` leaves out what makes no difference to rows.
    """

    def __init__(self, holds: Callable[[T, float], bool], plain: Callable[[T], T]) -> None:
        self._holds = holds
        self._plain = plain
        self._entries: dict[str, T] = {}
        self._span: tuple[float, float] = NEVER  # in which `_holding` is right
        self._holding: tuple[T, ...] = ()
        self._watchers: set[Callable[[], None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[T, ...]:
        """All, sorted by name."""
        return tuple(self._entries[name] for name in sorted(self._entries))

    def get(self, name: str) -> T | None:
        """The entry, or None."""
        return self._entries.get(name)

    def put(self, name: str, entry: T | None) -> bool:
        """Takes one message; None removes. False when it makes no difference to any row."""
        before = self._entries.pop(name, None)
        if entry is not None:
            self._entries[name] = entry
        self._span = NEVER
        for heard in tuple(self._watchers):
            heard()
        if before is None or entry is None:
            return before is not entry
        return self._plain(before) != self._plain(entry)

    @contextmanager
    def watch(self, heard: Callable[[], None]) -> Iterator[None]:
        """Calls `heard` after every `put` as long as this lasts."""
        self._watchers.add(heard)
        try:
            yield
        finally:
            self._watchers.discard(heard)

    def active(self, now: float) -> Sequence[T]:
        """Those that hold at `now`, Unix ms, sorted by name."""
        self._renew(now)
        return self._holding

    def next_change(self, now: float) -> float | None:
        """Unix ms of the next moment at which some entry begins or ends; None when all stays as it is."""
        self._renew(now)
        return None if self._span[1] == inf else self._span[1]

    def _renew(self, now: float) -> None:
        if self._span[0] <= now < self._span[1]:
            return
        entries = self.entries
        edges = (edge for entry in entries for edge in (entry.starts_at, entry.ends_at) if edge is not None)
        moments = [-inf, *sorted(set(edges)), inf]
        after = bisect_right(moments, now)
        self._span = (moments[after - 1], moments[after])
        self._holding = tuple(entry for entry in entries if self._holds(entry, now))
        self._forget()

    def _forget(self) -> None:
        """Called whenever what holds was found out anew: what was made of it is no longer right."""
