"""Places at hosts: no host has more than its share of the fetching threads, and none that is away has any."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from services.embedder.errors import HostAway

FAILURES_MAX: Final = 4  # in a row, after which a host counts as away
AWAY_FIRST_S: Final = 15.0  # then one picture is tried; the pause doubles as long as that fails
AWAY_MAX_S: Final = 240.0
HOSTS_MAX: Final = 10_000  # remembered; a host without work and failures is forgotten at once

T = TypeVar("T")
Work = Callable[[], T]


@dataclass(slots=True)
class _Host(Generic[T]):
    running: int = 0
    waiting: deque[tuple[Work[T], "Future[T]"]] = field(default_factory=deque)
    failures: int = 0  # in a row
    pauses: int = 0  # since it last answered
    away_until: float = 0.0


class HostPlaces(Generic[T]):
    """Hands work to threads, at most `most` of one host at a time; the rest waits without a thread.

    A host that has failed several times in a row is left alone for a while: what waits for it and what comes
    meanwhile fails at once with HostAway.
    """

    def __init__(
        self,
        begin: Callable[[Callable[[], None]], object],
        most: int,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begin` runs a callable in a thread, in the order in which they come."""
        self._begin = begin
        self._most = most
        self._timer = timer
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host[T]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """How much work waits for a place."""
        return self._waiting

    def submit(self, host: str, work: Work[T]) -> "Future[T]":
        """What the work gives, or HostAway."""
        future: Future[T] = Future()
        with self._lock:
            entry = self._hosts.setdefault(host, _Host())
            away = self._refuses(entry)
            begins = not away and entry.running < self._most
            if begins:
                entry.running += 1
            elif not away:
                entry.waiting.append((work, future))
                self._waiting += 1
        if away:
            future.set_exception(_away(host))
        elif begins:
            self._begin(lambda: self._run(host, work, future))
        return future

    def _refuses(self, entry: _Host[T]) -> bool:
        """Whether the host is left alone; the first who comes after that time tries whether it is back."""
        if entry.failures < FAILURES_MAX:
            return False
        return entry.running > 0 or self._timer() < entry.away_until

    def _run(self, host: str, work: Work[T], future: "Future[T]") -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - the future's
            self._finish(host, failed=isinstance(error, HostAway))
            future.set_exception(error)
        else:
            self._finish(host, failed=False)
            future.set_result(result)

    def _finish(self, host: str, *, failed: bool) -> None:
        """A place is free: for the next of this host, behind what other hosts have in the threads' queue."""
        dropped: list[Future[T]] = []
        with self._lock:
            entry = self._hosts[host]
            entry.running -= 1
            entry.failures = entry.failures + 1 if failed else 0
            entry.pauses = entry.pauses if failed else 0
            now = self._timer()
            if entry.failures >= FAILURES_MAX and now >= entry.away_until:
                entry.away_until = now + min(AWAY_FIRST_S * 2**entry.pauses, AWAY_MAX_S)
                entry.pauses += 1
                dropped = [future for _, future in entry.waiting]
                self._waiting -= len(dropped)
                entry.waiting.clear()
            following = entry.waiting.popleft() if entry.waiting else None
            if following is not None:
                self._waiting -= 1
                entry.running += 1
            elif not entry.running and (not entry.failures or len(self._hosts) > HOSTS_MAX):
                del self._hosts[host]
        for future in dropped:
            future.set_exception(_away(host))
        if following is not None:
            work, future = following
            self._begin(lambda: self._run(host, work, future))


def _away(host: str) -> HostAway:
    return HostAway(f"{host} has failed several times in a row, so it is left alone for a while")
