"""What a visitor searched for moves rows at once; that a row was seen is kept, and moves none."""

import msgspec
import pytest

from schemas import events, sessions
from schemas.sessions import CAUSED_BY, CLICKED_ROW, QUIET, Session, purchase_digest
from tests.support.session_worker import Broker, Data, Worker
from tests.support.sessions import DAY, event


@pytest.fixture
async def worker() -> Worker:
    return Worker(Data(), Broker())


def session_of(worker: Worker) -> Session:
    return sessions.decode(worker.data[b"v"])


def headers_to_sessions(worker: Worker) -> list[dict[str, str | bytes | None]]:
    both = zip(worker.broker.sent, worker.broker.headers, strict=True)
    return [headers for (topic, _, _), headers in both if topic == "sessions"]


async def test_a_search_is_published_as_an_event_is(worker: Worker) -> None:
    worker.take("v", 1, 0, product_id="boots", type_="search")
    assert [each.words for each in session_of(worker).searches] == ["boots"]
    [headers] = headers_to_sessions(worker)
    assert QUIET not in headers
    assert headers[CAUSED_BY] == event(1, 0).event_id.encode()


async def test_a_row_that_was_seen_is_quiet_and_names_the_event_before_it(worker: Worker) -> None:
    worker.take("v", 1, 0)
    worker.take("v", 2, 1000, product_id="p7", type_="view_item_list")
    assert [*session_of(worker).shown_products] == [purchase_digest("p7")]
    first, second = headers_to_sessions(worker)
    assert (QUIET in first, QUIET in second) == (False, True)
    assert second[CAUSED_BY] == first[CAUSED_BY]
    assert worker.broker.to("changelog", b"v")[-1] == worker.data[b"v"]


async def test_a_list_of_the_shops_own_is_no_row(worker: Worker) -> None:
    listed = event(1, 1_700_000_000_000, "p7", "view_item_list")
    worker.take_raw(b"v", events.encode(listed))
    assert b"v" not in worker.data


async def test_a_visitor_who_only_looked_is_forgotten_in_time(worker: Worker) -> None:
    worker.take("v", 1, 0, product_id="p7", type_="view_item_list")
    worker.take("w", 2, 0, product_id="boots", type_="search")
    worker.take("other", 3, 32 * DAY)
    await worker.broker.acknowledge()
    assert set(worker.data) == {b"other"}


async def test_an_erasure_takes_searches_and_rows_and_leaves_later_ones(worker: Worker) -> None:
    for number, at in ((1, 0), (2, 200_000)):
        worker.take("v", number, at, product_id=f"boots {number}", type_="search")
        worker.take("v", 10 + number, at, product_id=f"p{number}", type_="view_item_list")
    worker.erase("v", 100_000)
    await worker.broker.acknowledge()
    assert [each.words for each in session_of(worker).searches] == ["boots 2"]
    assert [*session_of(worker).shown_products] == [purchase_digest("p2")]
    worker.erase("v", 300_000)
    await worker.broker.acknowledge()
    assert b"v" not in worker.data


async def test_after_a_start_nothing_is_taken_for_erased_that_is_not(worker: Worker) -> None:
    worker.take("v", 1, 0)
    worker.take("v", 2, 1, product_id="p7", type_="view_item_list")
    worker.data._key_partition[b"v"] = 0
    again = Worker(worker.data, Broker(), recovered=False)
    again.folder.recover({})
    assert again.broker.sent == []


async def test_a_click_into_a_row_names_the_row_and_nothing_else_does(worker: Worker) -> None:
    named = msgspec.structs.replace(event(1, 0, "p1", "select_item"), recommendation_id="row")
    bought = msgspec.structs.replace(event(2, 0, "p1", "purchase"), recommendation_id="row")
    for each in (named, bought, event(3, 1, "p2", "select_item")):
        worker.take_raw(b"v", events.encode(each))
    assert [headers.get(CLICKED_ROW) for headers in headers_to_sessions(worker)] == [b"row", None, None]
