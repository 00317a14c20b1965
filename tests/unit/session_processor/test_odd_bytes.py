"""Odd bytes on `events`, on `erasures` and in the table itself: letters, and everybody else goes on."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import events, sessions
from schemas.deadletters import KEY_MAX, RAW_MAX
from schemas.topics import ERASURES, EVENTS, SESSIONS
from tests.support import odd_bytes
from tests.support.messages import StoredMessage
from tests.support.odd_bytes import ANY_VALUE, HEADERS
from tests.support.session_worker import BEGIN, Broker, Data, Worker
from tests.support.sessions import LAYOUT, event

UNREADABLE = "eddy_session_processor_unreadable_total"
REPEATED = "eddy_session_processor_repeated_refusals_total"


async def test_each_odd_message_has_a_letter_and_is_done_with() -> None:
    worker, number = Worker(Data(), Broker()), 0
    odd = list(odd_bytes.messages(EVENTS))
    for key, value, headers in odd:
        worker.take_raw(key, value, headers)
        number += 1
        worker.take("v", number, number)
    await worker.broker.acknowledge()
    assert worker.acknowledged == 2 * len(odd)
    letters = [each for each in worker.broker.sent if each[0] == "events.dlq"]
    distinct = list(dict.fromkeys((key, value) for key, value, _ in odd))
    assert [each[1:] for each in letters] == [
        (key and key[:KEY_MAX], value and value[:RAW_MAX]) for key, value in distinct
    ]
    repeated = worker.metrics.registry.get_sample_value(REPEATED)
    assert repeated == len(odd) - len(letters)
    assert len(sessions.decode(worker.data[b"v"]).events) == min(number, 64)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_a_header_decides_nothing(headers: list[tuple[str, bytes | None]]) -> None:
    plain, odd = Worker(Data(), Broker()), Worker(Data(), Broker())
    plain.take("v", 1, 1)
    sent = replace(event(1, BEGIN + 1), visitor_id="v")
    odd.take_raw(b"v", events.encode(sent), headers)
    await odd.broker.acknowledge()
    assert odd.data == plain.data
    assert odd.acknowledged == 1


@given(st.lists(st.tuples(st.none() | st.binary(max_size=8), st.none() | ANY_VALUE), max_size=3))
async def test_any_bytes_are_an_event_or_a_letter(odd: list[tuple[bytes | None, bytes | None]]) -> None:
    worker = Worker(Data(), Broker())
    for key, value in odd:
        worker.take_raw(key, value)
    await worker.broker.acknowledge()
    assert worker.acknowledged == len(odd)


async def test_erasures_that_cannot_be_read_are_counted_and_erase_by_their_key() -> None:
    worker = Worker(Data(), Broker())
    worker.take("v", 1, 1)
    for key, value, headers in odd_bytes.messages(ERASURES):
        message = StoredMessage(key, value, headers, at=BEGIN - 1)
        worker.folder.erase(cast(Any, message), lambda _partition: True)
    await worker.broker.acknowledge()
    assert (worker.metrics.registry.get_sample_value(UNREADABLE, {"topic": "erasures"}) or 0) > 20
    assert b"v" in worker.data


async def test_a_table_that_others_wrote_to_is_recovered_as_far_as_it_can_be_read() -> None:
    data = Data()
    first = Worker(data, Broker())
    first.take("good", 1, 1)
    for number, (key, value, _) in enumerate(odd_bytes.messages(SESSIONS, LAYOUT)):
        if key is not None and value is not None:
            name = key + b"-%d" % number if key != b"v" else b"v"
            data[name] = value
            data._key_partition[name] = 0
    second = Worker(data, Broker())
    second.take("v", 2, 2)
    second.take("good", 3, 3)
    await second.broker.acknowledge()
    assert sessions.decode(data[b"v"]).events[-1].occurred_at == BEGIN + 2
    assert len(sessions.decode(data[b"good"]).events) == 2
