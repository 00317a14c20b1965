"""The order of messages within a partition: none is left out unnoticed, none acknowledged before its elders.

Faust commits past a message that is not acknowledged yet when the next one is, and may drop messages that it
has read (infra/docs/decisions/0001). Pure: told of arrivals and ends, it answers by acknowledging.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass


class SkippedEvents(Exception):
    """A partition went on after messages that never came here."""

    def __init__(self, partition: int, expected: int, found: int) -> None:
        self.partition, self.expected, self.found = partition, expected, found
        super().__init__(
            f"partition {partition} of `events` went on at offset {found}, {expected} was next: "
            "they are read again from the last commit"
        )


@dataclass(slots=True, eq=False)
class PendingMessage:
    """A message that is being dealt with."""

    partition: int
    acknowledge: Callable[[], object]
    is_done: bool = False


class PartitionOrder:
    """What of each partition was taken and is not done."""

    def __init__(self) -> None:
        self._under_way: dict[int, deque[PendingMessage]] = {}
        self._next: dict[int, int] = {}

    def track(self, partition: int, offset: int, acknowledge: Callable[[], object]) -> PendingMessage:
        """A message has arrived; one that comes again is welcome. Raises SkippedEvents after a gap."""
        expected = self._next.get(partition, offset)
        if offset > expected:
            raise SkippedEvents(partition, expected, offset)
        self._next[partition] = offset + 1
        taken = PendingMessage(partition, acknowledge)
        self._under_way.setdefault(partition, deque()).append(taken)
        return taken

    def complete(self, taken: PendingMessage) -> None:
        """All that the message caused has arrived: it is acknowledged, as soon as all before it are."""
        taken.is_done = True
        under_way = self._under_way[taken.partition]
        while under_way and under_way[0].is_done:
            under_way.popleft().acknowledge()

    def skip(self, partition: int, offset: int) -> None:
        """Before this offset nothing is left to be taken."""
        self._next[partition] = max(offset, self._next.get(partition, offset))

    @property
    def next_offsets(self) -> Mapping[int, int]:
        """Where each partition goes on."""
        return self._next

    def has_pending(self, partition: int) -> bool:
        """Whether something of a partition is being dealt with."""
        return bool(self._under_way.get(partition))

    def reset(self, begins: Mapping[int, int]) -> None:
        """Partitions come and go: where each begins; one that is not named begins with its first message."""
        self._next = dict(begins)
