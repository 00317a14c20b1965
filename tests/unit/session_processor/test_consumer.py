"""Where a worker goes on when its partitions were dealt out anew: all at once, and it is taken for no gap."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP
from mode import Service

from schemas.topics import EVENTS
from services.session_processor.app import faust_app, pass_over_committed
from services.session_processor.commit_order import PartitionOrder
from services.session_processor.consumer import RewindingApp, RewindingConsumer
from services.session_processor.settings import SessionProcessorSettings


class Group:
    """What aiokafka's consumer and coordinator know of a group of one; a question gives others a turn."""

    def __init__(self, assigned: Sequence[TP], committed: Mapping[TP, int], firsts: Mapping[TP, int]) -> None:
        self._assigned = frozenset(assigned)
        self._committed = committed
        self._firsts = firsts
        self._coordinator = self
        self.sought: dict[TP, int] = {}
        self.sought_at_once = 0

    def assignment(self) -> frozenset[TP]:
        return self._assigned

    async def beginning_offsets(self, parts: Sequence[TP]) -> dict[TP, int]:
        await self._turn()
        return {each: self._firsts.get(each, 0) for each in parts}

    async def fetch_committed_offsets(self, parts: Sequence[TP]) -> dict[TP, OffsetAndMetadata]:
        await self._turn()
        return {
            each: OffsetAndMetadata(self._committed[each], "") for each in parts if each in self._committed
        }

    def seek(self, part: TP, offset: int) -> None:
        self.sought[part] = offset
        self.sought_at_once += 1

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        self.sought_at_once = 0


NEW, COMMITTED, OUTDATED = (TP(EVENTS.name, number) for number in range(3))
CHANGELOG = TP("session-processor-sessions-changelog", 0)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RewindingApp]:
    app = faust_app(SessionProcessorSettings(session_processor_datadir=str(tmp_path)))
    yield app
    thread_of(app).thread_loop.close()


def consumer_of(app: RewindingApp) -> RewindingConsumer:
    return cast(RewindingConsumer, app.consumer)


def thread_of(app: RewindingApp) -> Any:
    return consumer_of(app)._thread


async def test_it_goes_back_to_the_commit_or_the_beginning_in_one_go(app: RewindingApp) -> None:
    app.Table("sessions", partitions=1)
    group = Group([NEW, COMMITTED, OUTDATED, CHANGELOG], {COMMITTED: 22, OUTDATED: 5}, {OUTDATED: 9})
    found = await thread_of(app)._rewind(group)
    assert found == {NEW: 0, COMMITTED: 22, OUTDATED: 9, CHANGELOG: None}
    assert group.sought == {NEW: 0, COMMITTED: 22, OUTDATED: 9}
    assert group.sought_at_once == 3  # nobody else has a turn in between


async def test_what_was_committed_late_is_no_gap(app: RewindingApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker was away for seconds: five events were under way when the group was dealt out anew."""
    order, committed = PartitionOrder(), [22, 27]

    async def seek_to_committed() -> Mapping[TP, int]:
        return {COMMITTED: committed.pop(0)}

    monkeypatch.setattr(thread_of(app), "seek_to_committed", seek_to_committed)
    app.on_rewind = partial(pass_over_committed, order, EVENTS.name)
    order.reset({each.partition: at for each, at in (await consumer_of(app).seek_to_committed()).items()})
    assert order.next_offsets == {COMMITTED.partition: 22}
    await consumer_of(app).perform_seek()  # Faust's own, when its table is there
    order.track(COMMITTED.partition, 27, lambda: None)


def test_what_faust_says_is_said_under_its_name_also_by_classes_of_ours() -> None:
    def subclasses(kind: type[Service]) -> set[type[Service]]:
        return {each for direct in kind.__subclasses__() for each in {direct, *subclasses(direct)}}

    ours = {each for each in subclasses(Service) if each.__module__.startswith("services.")}
    assert len(ours) >= 5
    assert {each.__name__: each.logger.name.partition(".")[0] for each in ours} == dict.fromkeys(
        (each.__name__ for each in ours), "faust"
    )
