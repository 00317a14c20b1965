"""Events taken in one go: all count, their sessions leave together; and busy traffic is told from quiet."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas import events
from services.session_processor.batches import pop_waiting
from services.session_processor.commit_order import SkippedEvents
from services.session_processor.consumer import BUSY_PER_S, Traffic
from services.session_processor.processor import IN_FLIGHT_MAX, Message
from tests.support.session_worker import BEGIN, Broker, Data, Worker
from tests.support.sessions import event


def message(offset: int, acknowledged: list[int], *, generation: int = 1) -> Message:
    """An event of the test's visitor, in partition 0."""
    happened = event(offset, BEGIN + offset, "p1")
    inner = SimpleNamespace(
        partition=0,
        offset=offset,
        key=happened.visitor_id.encode(),
        value=events.encode(happened),
        headers=None,
        topic="events",
        timestamp=None,
        generation_id=generation,
        tracked=False,
    )
    return cast(Message, SimpleNamespace(message=inner, ack=lambda: acknowledged.append(offset)))


def is_behind(worker: Worker) -> bool:
    """Asked anew: a type checker takes a property for one that stays."""
    return worker.folder.is_behind


async def test_a_batch_leaves_in_one_go_and_is_acknowledged_in_order() -> None:
    broker, acknowledged = Broker(), list[int]()
    worker = Worker(Data(), broker)
    worker.folder.take_all(deque(message(offset, acknowledged) for offset in range(10)))
    assert [topic for topic, _, _ in broker.sent] == ["changelog", "sessions"] * 10
    assert broker.waiting == 1
    assert not acknowledged
    await broker.acknowledge()
    assert acknowledged == list(range(10))


async def test_what_was_taken_before_a_gap_is_sent_and_the_rest_is_left() -> None:
    broker, acknowledged = Broker(), list[int]()
    worker = Worker(Data(), broker)
    batch = deque(message(offset, acknowledged) for offset in (0, 1, 5, 6))
    with pytest.raises(SkippedEvents):
        worker.folder.take_all(batch)
    assert [each.message.offset for each in batch] == [5, 6]
    await broker.acknowledge()
    assert acknowledged == [0, 1]
    worker.folder.order.skip(0, 5)
    worker.folder.take_all(batch)
    await broker.acknowledge()
    assert acknowledged == [0, 1, 5, 6]


async def test_there_is_room_again_when_half_has_arrived() -> None:
    broker, acknowledged = Broker(), list[int]()
    worker = Worker(Data(), broker)
    worker.folder.take_all(deque(message(offset, acknowledged) for offset in range(IN_FLIGHT_MAX - 1)))
    assert not is_behind(worker)
    worker.folder.take_all(deque([message(IN_FLIGHT_MAX - 1, acknowledged)]))
    assert is_behind(worker)
    await broker.acknowledge()
    await asyncio.wait_for(worker.folder.wait_for_room(), 5)
    assert len(acknowledged) == IN_FLIGHT_MAX


async def test_what_waits_is_popped_up_to_a_bound_and_without_what_others_own_now() -> None:
    queue, tracked, acknowledged = asyncio.Queue[Any](), list[int](), list[int]()
    for offset, generation in enumerate((1, 0, 1, 1, 1)):
        queue.put_nowait(message(offset, acknowledged, generation=generation))
    app = SimpleNamespace(
        flow_control=SimpleNamespace(is_active=lambda: True),
        consumer_generation_id=1,
        consumer=SimpleNamespace(track_message=lambda each: tracked.append(each.offset)),
    )
    stream = cast(Any, SimpleNamespace(channel=SimpleNamespace(queue=queue)))
    found = pop_waiting(cast(Any, app), stream, 3)
    assert [each.message.offset for each in found] == tracked == [0, 2, 3]
    assert all(each.message.tracked for each in found)
    assert queue.qsize() == 1
    assert not acknowledged


@pytest.mark.parametrize(
    ("per_s", "busy"), [(100, False), (300, False), (400, False), (600, True), (1_000, True)]
)
def test_traffic_is_busy_only_above_the_rate(per_s: int, busy: bool) -> None:
    traffic, now = Traffic(), 0.0
    for _ in range(2 * per_s):
        now += 1 / per_s
        traffic.note(1, now)
    assert traffic.is_busy(now) is busy
    assert not traffic.is_busy(now + 2 * BUSY_PER_S)
