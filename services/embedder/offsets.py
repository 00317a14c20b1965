"""Which messages have had all their effects: only up to there may offsets be committed."""

from typing import NamedTuple


class Place(NamedTuple):
    """Where a message of `products` lies."""

    partition: int
    offset: int


class Ledger:
    """Counts what is still to happen for each message; messages may be finished in any order."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, int]] = {}  # partition → offset, ascending → effects to come
        self._next: dict[int, int] = {}  # partition → the offset after the last message seen
        self._told: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(len(offsets) for offsets in self._open.values())

    def open(self, place: Place) -> None:
        """A message was read; that it is dealt with is the first effect to come."""
        self._open.setdefault(place.partition, {})[place.offset] = 1
        self._next[place.partition] = place.offset + 1

    def expect(self, place: Place) -> None:
        """One more effect of the message is to come."""
        self._open[place.partition][place.offset] += 1

    def arrived(self, place: Place) -> None:
        """One effect has arrived; after the last the message is done."""
        offsets = self._open[place.partition]
        offsets[place.offset] -= 1
        if offsets[place.offset] == 0:
            del offsets[place.offset]

    def committable(self) -> dict[int, int]:
        """By partition, the offset to commit; only what has changed since the last call."""
        news = {}
        for partition, after in self._next.items():
            offset = next(iter(self._open[partition]), after)
            if self._told.get(partition) != offset:
                self._told[partition] = news[partition] = offset
        return news
