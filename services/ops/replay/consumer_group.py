"""A session processor's group, seen from outside: who is in it, and how far it has committed."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from confluent_kafka import ConsumerGroupState, TopicPartition

from schemas.topics import EVENTS
from services.kafka.admin import LATEST, KafkaAdmin, require_broker
from services.ops.replay.source import ReplayFailed
from services.progress import Progress
from services.settings import ServiceSettings

ANSWER_S: Final = 15.0
LOOK_EVERY_S: Final = 0.1
STALL_S: Final = 120.0  # without a commit: longer than a rebalance, and than a broker's restart


class Group:
    """A consumer group of `events`. Raises BrokerAway."""

    def __init__(self, settings: ServiceSettings, group: str) -> None:
        self._settings = settings
        self.name = group
        self._topic = settings.topic(EVENTS)
        self._admin = KafkaAdmin(settings, ANSWER_S)

    def members(self, *, settled: bool = False) -> int:
        """How many workers are in it now; `settled`: none until its partitions are dealt out."""
        with self._translate_errors():
            found = self._admin.group(self.name)
        if found is None or (settled and found.state != ConsumerGroupState.STABLE):
            return 0
        return len(found.members)

    def begin_after(self, first: int) -> None:
        """The group, which nobody is in yet, goes on after the first so many messages of each partition."""
        asked = [TopicPartition(self._topic, number, first) for number in self.ends()]
        with self._translate_errors():
            self._admin.commit(self.name, asked)

    def ends(self) -> dict[int, int]:
        """Where each partition of the topic ends now."""
        with self._translate_errors():
            found = self._admin.offsets(self._admin.partitions(self._topic), LATEST)
        return {part.partition: end.offset for part, end in found.items()}

    def behind(self, ends: Mapping[int, int]) -> int:
        """How many messages before these ends are not committed yet; empty partitions count nothing."""
        asked = [TopicPartition(self._topic, number) for number, end in ends.items() if end]
        with self._translate_errors():
            places = self._admin.read_committed(self.name, asked)
        return sum(max(0, ends[number] - max(0, offset)) for number, offset in places.items())

    def _translate_errors(self) -> AbstractContextManager[None]:
        return require_broker(self._settings, f"does not tell of the group {self.name}")


def wait_for(
    group: Group,
    ends: Mapping[int, int],
    total: int,
    progress: Progress,
    *,
    meanwhile: Callable[[], object],
    stall_s: float = STALL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Returns once the group has committed all before `ends`, of which the last `total` count for progress.

    `meanwhile` raises what makes waiting useless. Raises ReplayFailed when nothing is committed for long.
    """
    told, least, heard = 0, group.behind(ends), clock()
    while least:
        meanwhile()
        sleep(LOOK_EVERY_S)
        behind = group.behind(ends)
        if behind < least:
            least, heard = behind, clock()
        elif clock() - heard > stall_s:
            raise ReplayFailed(
                f"the group {group.name} has committed nothing for {stall_s:.0f} s and is {behind:,} events "
                "behind: look at the session processor's log"
            )
        done = max(0, total - behind)
        progress.advance(max(0, done - told))
        told = max(told, done)
    progress.advance(total - told)
