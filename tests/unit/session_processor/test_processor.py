"""What the folder stores and sends, and in which order, when visitors leave and come back."""

import asyncio

import msgspec
import pytest

from schemas import sessions
from schemas.sessions import purchase_digest
from services.vector_replica import VectorReplica
from tests.support.session_worker import BEGIN, Broker, Data, Worker
from tests.support.sessions import DAY, LAYOUT, event, fold_all


@pytest.fixture
async def worker() -> Worker:
    return Worker(Data(), Broker())


async def test_an_idle_visitor_leaves_the_topic_first_and_then_the_table(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 32 * DAY)
    assert worker.broker.sent[-1] == ("sessions", b"idle", None)
    assert b"idle" in worker.data
    await worker.broker.acknowledge()
    assert worker.broker.sent[-1] == ("changelog", b"idle", None)
    assert set(worker.data) == {b"other"}
    assert worker.expired == 1
    assert worker.acknowledged == 2


async def test_a_visitor_of_yesterday_stays(worker: Worker) -> None:
    worker.take("yesterday", 1, 30 * DAY)
    worker.take("other", 2, 32 * DAY)
    await worker.broker.acknowledge()
    assert set(worker.data) == {b"yesterday", b"other"}


async def test_a_visitor_who_comes_back_while_the_tombstone_is_under_way_is_not_lost(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 32 * DAY)
    worker.take("idle", 3, 32 * DAY)
    await worker.broker.acknowledge()
    assert len(sessions.decode(worker.data[b"idle"]).events) == 1
    assert worker.broker.to("sessions", b"idle")[-2:] == [None, worker.data[b"idle"]]
    assert worker.broker.to("changelog", b"idle")[-1] == worker.data[b"idle"]
    assert worker.expired == 0


async def test_even_a_known_event_that_comes_again_at_that_moment_keeps_the_visitor(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 32 * DAY)
    worker.take("idle", 1, 0)
    await worker.broker.acknowledge()
    assert worker.broker.to("sessions", b"idle")[-1] == worker.data[b"idle"]
    worker.take("other", 4, 33 * DAY)
    await worker.broker.acknowledge()
    assert b"idle" not in worker.data
    assert worker.broker.to("sessions", b"idle")[-1] is None


async def test_a_visitor_who_comes_back_later_begins_anew_with_the_same_bytes(worker: Worker) -> None:
    """As if the visitor had never been forgotten: what lies 30 days back no longer counts anyway."""
    worker.take("v", 1, 0)
    worker.take("other", 2, 32 * DAY)
    await worker.broker.acknowledge()
    assert b"v" not in worker.data
    worker.take("v", 3, 32 * DAY)
    kept_all_the_time = fold_all([event(1, BEGIN), event(3, BEGIN + 32 * DAY)])
    assert worker.data[b"v"] == sessions.encode(kept_all_the_time)
    assert worker.broker.to("sessions", b"v")[-2:] == [None, worker.data[b"v"]]


async def test_an_event_that_comes_a_day_late_gives_what_it_would_have_given_in_time(worker: Worker) -> None:
    worker.take("v", 1, 0)
    worker.take("other", 2, 32 * DAY)
    await worker.broker.acknowledge()
    assert b"v" not in worker.data
    worker.take("v", 3, 31 * DAY)
    assert worker.data[b"v"] == sessions.encode(fold_all([event(1, BEGIN), event(3, BEGIN + 31 * DAY)]))


async def test_after_a_restart_idle_visitors_still_leave(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 29 * DAY)
    await worker.broker.acknowledge()
    worker.data._key_partition = {b"idle": 0, b"other": 0}
    again = Worker(worker.data, worker.broker)
    again.take("other", 3, 32 * DAY)
    await worker.broker.acknowledge()
    assert set(worker.data) == {b"other"}


async def test_after_a_crash_before_the_last_step_the_visitor_is_told_of_again(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 32 * DAY)  # `sessions` gets the tombstone, and then the worker is killed
    worker.data._key_partition = {b"idle": 0, b"other": 0}
    broker = Broker()
    again = Worker(worker.data, broker)
    again.take("other", 2, 32 * DAY)
    await broker.acknowledge()
    assert broker.to("sessions", b"idle") == [None]
    assert broker.to("changelog", b"idle") == [None]
    assert set(worker.data) == {b"other"}


async def test_before_partitions_move_on_the_last_step_is_done_too(worker: Worker) -> None:
    worker.take("idle", 1, 0)
    worker.take("other", 2, 32 * DAY)
    settled = asyncio.create_task(worker.folder.settle())
    await worker.broker.acknowledge()
    await settled
    assert worker.broker.sent[-1] == ("changelog", b"idle", None)


async def test_a_session_in_the_former_form_is_renewed_by_the_visitors_next_event(worker: Worker) -> None:
    known = event(1, BEGIN)
    former = [
        "v",
        [[BEGIN, known.event_id, "p1", "view_item"]],
        LAYOUT.id,
        b"\x00\x3c" * LAYOUT.width,
        [],
        [],
    ]
    worker.data[b"v"] = msgspec.msgpack.encode(former)
    worker.take("v", 1, 0)  # even by one that it knows
    assert worker.data[b"v"] == sessions.encode(fold_all([known]))
    assert worker.broker.to("sessions", b"v") == [worker.data[b"v"]]
    assert worker.broker.to("changelog", b"v") == [worker.data[b"v"]]


def bought(worker: Worker, visitor: bytes = b"v") -> set[int]:
    return set(sessions.decode(worker.data[visitor]).purchases)


async def test_what_was_bought_outlives_64_further_events(worker: Worker) -> None:
    worker.take("v", 1, 0, product_id="p2", type_="purchase")
    for number in range(2, 100):
        worker.take("v", number, number)
    assert "p2" not in {each.product_id for each in sessions.decode(worker.data[b"v"]).events}
    assert bought(worker) == {purchase_digest("p2")}


async def test_an_erasure_takes_purchases_with_it_and_leaves_later_ones(worker: Worker) -> None:
    worker.take("v", 1, 0, product_id="p2", type_="purchase", sent_at=BEGIN)
    for number in range(2, 100):
        worker.take("v", number, number * 1000, sent_at=BEGIN + number * 1000)
    worker.take("v", 100, 200_000, product_id="p3", type_="purchase", sent_at=BEGIN + 200_000)
    worker.erase("v", 150_000)
    await worker.broker.acknowledge()
    assert bought(worker) == {purchase_digest("p3")}
    again = Worker(worker.data, worker.broker)
    assert bought(again) == {purchase_digest("p3")}


async def test_purchases_of_before_an_erasure_that_no_worker_saw_are_gone_after_the_start() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, 0, product_id="p2", type_="purchase")
    for number in range(2, 100):
        worker.take("v", number, 10_000 + number)
    await worker.broker.acknowledge()
    worker.data._key_partition[b"v"] = 0
    later = Worker(worker.data, worker.broker, recovered=False)
    later.erase("v", 5_000, running=False)
    later.folder.recover({})
    assert len(sessions.decode(worker.data[b"v"]).events) == 64
    assert bought(worker) == set()


async def test_who_was_idle_for_so_long_begins_anew_whether_or_not_the_table_had_forgotten(
    worker: Worker,
) -> None:
    other = Worker(Data(), Broker())
    for each in (worker, other):
        each.take("v", 1, 0, type_="purchase")
    worker.take("other", 2, 32 * DAY)  # by which the first worker sees what time it is
    await worker.broker.acknowledge()
    assert b"v" not in worker.data
    for each in (worker, other):
        each.take("v", 3, 32 * DAY)
    assert worker.data[b"v"] == other.data[b"v"]
    assert bought(other) == set()


async def test_a_product_that_gets_its_vector_keeps_the_purchases(worker: Worker) -> None:
    worker.take("v", 1, 0, product_id="p2", type_="purchase")
    missing = next(iter(sessions.decode(worker.data[b"v"]).missing_products), None)
    if missing is not None:
        worker.folder.join(missing, lambda _partition: True)
    assert bought(worker) == {purchase_digest("p2")}


YEAR_2099 = 4_070_908_800_000
NOW = 1_767_225_600_123


async def test_an_event_of_2099_is_of_when_it_was_sent_and_erases_no_memory(worker: Worker) -> None:
    """Another producer's clock: all that the visitor did would be too old beside it."""
    before = worker.take("v", 1, NOW - BEGIN, sent_at=NOW)
    ahead = worker.take("v", 2, YEAR_2099 - BEGIN, sent_at=NOW + 1)
    after = worker.take("v", 3, NOW + 2 - BEGIN, sent_at=NOW + 2)
    ahead = msgspec.structs.replace(ahead, occurred_at=NOW + 1)
    assert worker.data[b"v"] == sessions.encode(fold_all([before, ahead, after]))


def session_without_vector() -> bytes:
    """As it was stored when the product had no vector."""
    return sessions.encode(fold_all([event(1, BEGIN)], VectorReplica(LAYOUT)))


async def test_a_vector_that_came_while_no_worker_ran_is_joined_at_the_start() -> None:
    data = Data()
    data[b"v"] = session_without_vector()
    data._key_partition = {b"v": 0}
    worker = Worker(data, Broker())
    await worker.broker.acknowledge()
    joined = sessions.encode(fold_all([event(1, BEGIN)]))
    assert data[b"v"] == joined
    assert worker.broker.to("sessions", b"v") == [joined]
    assert worker.broker.to("changelog", b"v") == [joined]


async def test_a_join_is_on_the_topic_first_so_that_a_killed_worker_does_it_again(worker: Worker) -> None:
    worker.data[b"v"] = session_without_vector()
    worker.folder._waiting.wait(b"v", 0, ["p1"])
    worker.folder.join("p1", lambda _partition: True)
    joined = sessions.encode(fold_all([event(1, BEGIN)]))
    assert worker.broker.sent == [("sessions", b"v", joined)]
    changelog = Data()  # what a worker that is killed here leaves behind
    changelog[b"v"] = session_without_vector()
    changelog._key_partition = {b"v": 0}
    again = Worker(changelog, Broker())
    await again.broker.acknowledge()
    assert again.broker.sent == [("sessions", b"v", joined), ("changelog", b"v", joined)]


async def test_an_event_that_comes_before_a_join_is_acknowledged_is_not_overwritten(worker: Worker) -> None:
    worker.data[b"v"] = session_without_vector()
    worker.folder._waiting.wait(b"v", 0, ["p1"])
    worker.folder.join("p1", lambda _partition: True)
    worker.take("v", 2, 1_000)
    await worker.broker.acknowledge()
    both = sessions.encode(fold_all([event(1, BEGIN), event(2, BEGIN + 1_000)]))
    assert worker.data[b"v"] == both
    assert worker.broker.to("sessions", b"v")[-1] == both
    assert worker.broker.to("changelog", b"v")[-1] == both


async def test_a_flood_of_invented_visitors_is_forgotten_and_nobody_real() -> None:
    data_bytes = 60_000
    worker = Worker(Data(), Broker(), bytes_max=data_bytes)
    worker.take("real", 1, 0)
    worker.take("real", 2, 1)
    for number in range(300):
        worker.take(f"invented-{number}", number, 2)
        await worker.broker.acknowledge()
    assert b"real" in worker.data
    assert sum(map(len, worker.data.values())) < data_bytes
    assert 300 - worker.count_evicted("once") == len(worker.data) - 1
    assert worker.expired == 0
    first = b"invented-0"
    assert worker.broker.to("sessions", first)[-1] is worker.broker.to("changelog", first)[-1] is None
    assert worker.acknowledged == 302
    again = Worker(worker.data, worker.broker, bytes_max=data_bytes)
    again.take("invented-0", 400, 3)  # who comes back begins anew
    assert first in worker.data


async def test_what_is_waited_for_goes_with_who_waits() -> None:
    worker = Worker(Data(), Broker(), bytes_max=60_000)
    for number in range(300):
        worker.take(f"invented-{number}", number, 0, product_id=f"no-such-product-{number}")
        await worker.broker.acknowledge()
    assert worker.waiting == len(worker.data) < 100


async def test_sessions_are_noted_anew_only_of_partitions_that_were_away(worker: Worker) -> None:
    worker.take("v", 1, 0)
    await worker.broker.acknowledge()
    worker.data._key_partition[b"v"] = 0

    session = worker.data[b"v"]
    worker.folder.recover({0: 1})
    name = "eddy_session_processor_table_bytes"
    before = worker.metrics.registry.get_sample_value(name) or 0.0
    longer = Worker(Data(), Broker())
    for number in range(2, 40):
        longer.take("v", number, number)
    await longer.broker.acknowledge()
    # While the partition is here nobody else writes to it: that it is not seen shows that nobody looks.
    worker.data[b"v"] = longer.data[b"v"]
    worker.folder.stay({0, 1})
    worker.folder.recover({0: 1})
    assert worker.metrics.registry.get_sample_value(name) == before
    worker.folder.stay({1})
    worker.folder.stay({0, 1})
    worker.folder.recover({0: 1})
    noted = worker.metrics.registry.get_sample_value(name) or 0.0
    assert noted - before >= len(longer.data[b"v"]) - len(session)
