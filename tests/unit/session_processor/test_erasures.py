"""An erased visitor: what came before is gone everywhere, what comes after starts from nothing."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import sessions
from schemas.sessions import Session
from tests.support.session_worker import BEGIN, Broker, Data, Worker
from tests.support.sessions import MINUTE, event, fold_all

ERASED = 100  # ms after BEGIN


def after(*numbers_and_times: tuple[int, int]) -> Session:
    return fold_all([event(number, BEGIN + at) for number, at in numbers_and_times])


async def test_an_erased_visitor_is_gone_from_the_topic_first_and_then_from_the_changelog() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, 0)
    worker.erase("v", ERASED)
    assert b"v" not in worker.data
    assert worker.broker.sent[-1] == ("sessions", b"v", None)
    await worker.broker.acknowledge()
    assert worker.broker.sent[-1] == ("changelog", b"v", None)


async def test_an_event_of_before_that_comes_later_counts_no_more() -> None:
    worker = Worker(Data(), Broker())
    worker.erase("v", ERASED)
    worker.take("v", 1, ERASED)
    worker.take("v", 2, ERASED + 5, received=ERASED - 1)  # a browser's clock that runs ahead
    worker.take("v", 3, ERASED - 1, received=ERASED + 5)  # waited in the browser
    assert b"v" not in worker.data
    await worker.broker.acknowledge()
    assert worker.acknowledged == 3


async def test_an_event_of_after_starts_from_nothing() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, 0)
    worker.erase("v", ERASED)
    worker.take("v", 2, ERASED + 1)
    await worker.broker.acknowledge()
    assert worker.data[b"v"] == sessions.encode(after((2, ERASED + 1)))
    assert worker.broker.to("sessions", b"v")[-1] == worker.data[b"v"]
    assert worker.broker.to("changelog", b"v")[-1] == worker.data[b"v"]


async def test_an_event_of_after_that_is_read_before_the_erasure_stays() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, 0)
    worker.take("v", 2, ERASED + 1)
    worker.erase("v", ERASED)
    await worker.broker.acknowledge()
    assert worker.data[b"v"] == sessions.encode(after((2, ERASED + 1)))
    assert worker.broker.to("sessions", b"v")[-1] == worker.data[b"v"]
    assert worker.broker.to("changelog", b"v")[-1] == worker.data[b"v"]


async def test_a_clock_that_runs_ahead_saves_nothing_from_an_erasure_that_is_read_later() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, ERASED + MINUTE, received=ERASED - 1)
    worker.erase("v", ERASED)
    assert b"v" not in worker.data


async def test_somebody_who_is_unknown_here_is_told_of_as_erased_too() -> None:
    worker = Worker(Data(), Broker())
    worker.erase("v", ERASED)
    assert worker.broker.sent == [("sessions", b"v", None)]


async def test_nobody_else_is_touched() -> None:
    worker = Worker(Data(), Broker())
    worker.take("w", 1, 0)
    worker.erase("v", ERASED)
    await worker.broker.acknowledge()
    assert set(worker.data) == {b"w"}


async def test_who_was_erased_while_no_worker_ran_is_gone_when_one_starts() -> None:
    data = Data()
    data[b"v"] = sessions.encode(after((1, 0), (2, ERASED + 1)))
    other = sessions.encode(msgspec.structs.replace(after((3, 0)), visitor_id="w"))
    data[b"w"] = other
    data._key_partition = {b"v": 0, b"w": 0}
    worker = Worker(data, Broker(), recovered=False)
    worker.erase("v", ERASED, running=False)
    worker.erase("u", ERASED, running=False)
    worker.folder.recover({})
    await worker.broker.acknowledge()
    assert data == {b"v": sessions.encode(after((2, ERASED + 1))), b"w": other}
    assert worker.broker.to("sessions", b"u") == []


async def test_a_worker_that_is_killed_in_the_middle_erases_once_more() -> None:
    data = Data()
    data[b"v"] = sessions.encode(after((1, 0)))  # as it lies on the changelog
    data._key_partition = {b"v": 0}
    worker = Worker(data, Broker(), recovered=False)
    worker.erase("v", ERASED, running=False)
    worker.folder.recover({})
    await worker.broker.acknowledge()
    assert worker.broker.to("sessions", b"v") == [None]
    assert worker.broker.to("changelog", b"v") == [None]


async def test_an_old_erasure_that_is_sent_again_leaves_what_came_after() -> None:
    worker = Worker(Data(), Broker())
    data = worker.data
    data[b"v"] = sessions.encode(after((1, ERASED + 1)))
    worker.erase("v", ERASED, sent=ERASED + 10 * MINUTE)
    assert data[b"v"] == sessions.encode(after((1, ERASED + 1)))


steps = st.permutations(
    [*(("event", number, at) for number, at in enumerate((0, 50, 100, 101, 150))), ("erase", 0, 0)]
)


@given(steps, st.lists(st.booleans(), min_size=6, max_size=6))
async def test_whichever_topic_is_read_first_the_session_is_that_of_what_came_after(
    told: list[tuple[str, int, int]], answers: list[bool]
) -> None:
    worker = Worker(Data(), Broker())
    for (what, number, at), answered in zip(told, answers, strict=True):
        if what == "event":
            worker.take("v", number, at)
        else:
            worker.erase("v", ERASED)
        if answered:
            await worker.broker.acknowledge()
    await worker.broker.acknowledge()
    expected = sessions.encode(after((3, 101), (4, 150)))
    assert worker.data[b"v"] == expected
    assert worker.broker.to("sessions", b"v")[-1] == expected
    assert worker.broker.to("changelog", b"v")[-1] == expected
