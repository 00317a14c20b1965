"""Which partitions have unread events and do not move. Pure: told of ends, places and the time."""

from collections.abc import Mapping


class StalledPartition(Exception):
    """A partition stood still for so long that only a new start helps."""

    def __init__(self, partition: int, offset: int, end: int, seconds: float) -> None:
        super().__init__(
            f"partition {partition} of `events` has stood still at offset {offset} for {seconds:.0f} s while "
            f"{end - offset:,} events wait: they are read again from the last commit"
        )


class StallWatch:
    """How long each partition has stood still, in seconds; one that moves or has nothing unread does not."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}  # partition → its place, and since when it is there
        self.still: dict[int, float] = {}

    def look(self, ends: Mapping[int, int], places: Mapping[int, int], now_s: float) -> None:
        """The end and the next offset of each owned partition, at a time of any clock that only goes on."""
        seen = {}
        for partition, end in ends.items():
            place = places.get(partition, end)
            before, since = self._seen.get(partition, (-1, now_s))
            seen[partition] = (place, since if place == before and place < end else now_s)
        self._seen = seen
        self.still = {partition: now_s - since for partition, (_, since) in seen.items() if since < now_s}

    def reset(self) -> None:
        """The partitions are being dealt out: nothing is expected to move."""
        self._seen, self.still = {}, {}
