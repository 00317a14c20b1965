"""Rows of cases, from a real recommender on a real broker, are those that its visitors had on their pages."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from infra.stack.broker import Broker
from schemas import erasures, sessions
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.sessions import CAUSED_BY, SESSION_GAP_MS
from schemas.topics import ERASURES, RECOMMENDATIONS, SESSIONS
from services.kafka.ranges import open_reader
from services.kafka.writer import open_writer
from services.ops.replay.evaluation import compare_rows
from services.ops.replay.next_click import Case, CaseCollector
from services.ops.replay.recommendations import (
    LostTargets,
    Row,
    RowsRefused,
    find_lost_targets,
    put_cases,
    read_shown_rows,
    rows_of,
    states_of,
)
from services.time_range import TimeRange
from tests.support.kafka import read_topic
from tests.support.machine import free_ports
from tests.support.patience import eventually
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import Json, Shop, get, open_shop, product

K = 6
EVERYTHING = TimeRange()
# Six visitors who look at products of some shelves, one after the other.
VISITS = [[f"p{(7 * number + 4 * step) % 60}" for step in range(4)] for number in range(6)]


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("recommender") / "log"
    with run_service("recommender", shop.settings, log) as service:
        yield service


@dataclass(frozen=True)
class Past:
    """What happened in the shop: the cases of it, and after each event the row that its visitor had."""

    cases: tuple[Case, ...]
    states: dict[Case, bytes]
    had: dict[str, Row]


@pytest.fixture
async def past(shop: Shop, recommender: RunningService) -> Past:
    collector, had = CaseCollector(1_000, SESSION_GAP_MS), {}
    for product_ids in VISITS:
        visitor_id = f"visitor-{uuid4().hex}"
        for number, product_id in enumerate(product_ids):
            at = 1_000 * (number + 1)
            event_id = await shop.happens(visitor_id, "view_item", product_id, at)
            had[event_id] = await wait_for_row(recommender, visitor_id, event_id)
            collector.add(
                Event(
                    event_id=event_id, type="view_item", visitor_id=visitor_id, occurred_at=at,
                    product_id=product_id,
                )
            )  # fmt: skip
    cases = collector.cases()
    return Past(cases, states_of(cases, read_topic(shop.settings, SESSIONS)), had)


async def wait_for_row(recommender: RunningService, visitor_id: str, event_id: str) -> Row:
    """The row on the visitor's page once an event has reached it."""
    found: list[Row] = []

    async def there() -> None:
        answer = ask(recommender, visitor_id)
        assert answer.get("caused_by") == event_id
        found.append(Row(tuple(item["product_id"] for item in answer["items"]), models=answer["models"]))

    await eventually(there)
    return found[-1]


def ask(recommender: RunningService, visitor_id: str) -> Json:
    answer = recommender.http.get(
        "/v1/recommendations",
        params={"visitor_id": visitor_id, "k": K},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    answer.raise_for_status()
    body: Json = answer.json()
    return body


def put(shop: Shop, states: dict[Case, bytes]) -> None:
    with open_writer(shop.settings) as writer:
        put_cases(writer, shop.settings.topic(SESSIONS), states)


async def test_a_case_is_asked_with_the_session_of_then_and_its_row_is_the_one_of_then(
    shop: Shop, recommender: RunningService, past: Past
) -> None:
    assert len(past.cases) == len(past.states) == 18  # of four views three have a next one
    put(shop, past.states)
    rows_done: list[None] = []
    rows = await rows_of(recommender.url, KEY, past.states, K, lambda: rows_done.append(None))
    assert rows == {case: past.had[case.event_id] for case in past.cases}
    assert len(rows_done) == 18
    assert len({row.product_ids for row in rows.values()}) > 10


async def test_each_case_is_a_visitor_of_its_own_with_the_bytes_of_its_session(
    shop: Shop, past: Past
) -> None:
    put(shop, past.states)
    newest = {
        (message.key() or b"").decode(): message
        for message in read_topic(shop.settings, SESSIONS)
        if (message.key() or b"").startswith(b"case:")
    }
    assert list(past.states) == sorted(past.cases)
    for number, (case, state) in enumerate(past.states.items()):
        message = newest[f"case:{number}"]
        session = sessions.decode(message.value() or b"")
        assert session.visitor_id == f"case:{number}"
        back = msgspec.structs.replace(session, visitor_id=case.visitor_id)
        assert sessions.encode(back) == state
        assert dict(message.headers() or [])[CAUSED_BY] == case.event_id.encode()


async def test_rows_as_shown_are_read_from_the_topic_and_are_those_that_visitors_had(
    shop: Shop, past: Past
) -> None:
    with_rows: dict[Case, Row] = {}

    async def check_written() -> None:
        with open_reader(shop.settings) as reader:
            with_rows.update(read_shown_rows(reader, past.cases, EVERYTHING))
        assert with_rows.keys() == set(past.cases)

    await eventually(check_written)
    assert with_rows == {case: past.had[case.event_id] for case in past.cases}
    pair = compare_rows("live settings", with_rows, "as shown", with_rows, K, 0.95)
    assert (pair.equal_rows, pair.overlap.value) == (18, 1)


async def test_what_an_erased_visitor_was_shown_is_not_read(shop: Shop, past: Past) -> None:
    async def check_written() -> None:
        assert len(read_topic(shop.settings, RECOMMENDATIONS)) >= len(past.had)

    await eventually(check_written)
    gone = past.cases[0].visitor_id
    erasure = erasures.encode(Erasure(visitor_id=gone, erased_at=4_000_000_000_000))
    with open_writer(shop.settings) as writer:
        writer.write(shop.settings.topic(ERASURES), gone.encode(), erasure)
    try:
        with open_reader(shop.settings) as reader:
            found = read_shown_rows(reader, past.cases, EVERYTHING)
    finally:
        with open_writer(shop.settings) as writer:
            writer.write(shop.settings.topic(ERASURES), gone.encode(), None)
    assert {case.visitor_id for case in past.cases} - {case.visitor_id for case in found} == {gone}


async def test_a_recommender_that_still_reads_its_topics_is_waited_for(
    shop: Shop, past: Past, tmp_path: Path
) -> None:
    put(shop, past.states)
    with run_service("recommender", shop.settings, tmp_path / "log", until="/healthz") as fresh:
        rows = await rows_of(fresh.url, KEY, past.states, K, lambda: None)
    assert {case: row.product_ids for case, row in rows.items()} == {
        case: past.had[case.event_id].product_ids for case in past.cases
    }


async def test_targets_that_no_row_can_hold_any_more_are_counted_case_by_case(
    shop: Shop, recommender: RunningService
) -> None:
    await shop.put(product(70, availability="out_of_stock"), product(71, availability="preorder"))

    async def there() -> None:
        get(recommender, "/v1/products/p71/similar")

    await eventually(there)
    targets = ["p1", "p70", "p70", "p71", "of last year"] + [f"p{number}" for number in range(60)]
    cases = [Case("v", number, f"{number:026d}", number, target) for number, target in enumerate(targets)]
    found = await asyncio.to_thread(find_lost_targets, recommender.url, cases)
    assert found == LostTargets(gone=1, sold_out=2)
    assert [note.partition(":")[0] for note in found.notes(len(cases))] == [
        "The next product of 1 of 65 cases is no longer in the catalogue",
        "The next product of 2 of 65 cases is sold out now",
    ]
    await shop.delete("p70")
    await shop.delete("p71")


async def test_another_key_is_refused_with_what_to_do(recommender: RunningService, past: Past) -> None:
    with pytest.raises(RowsRefused, match="the same EDDY_API_KEY"):
        await rows_of(recommender.url, "another key", past.states, K, lambda: None)


async def test_a_recommender_that_has_not_read_the_cases_is_not_believed(
    recommender: RunningService, past: Past
) -> None:
    one = past.cases[0]
    more = {Case("v", number, one.event_id, number + 1, one.target): b"" for number in range(40)}
    with pytest.raises(RowsRefused, match=r"does not know the session of case:.*EDDY_TOPIC_PREFIX"):
        await rows_of(recommender.url, KEY, more, K, lambda: None, patience_s=0.5)


async def test_where_nobody_answers_it_is_said_where(past: Past) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = re.escape(f"the recommender at {url} does not answer") + r" .*; it was asked for 0\.3 s"
    with pytest.raises(RowsRefused, match=said):
        await rows_of(url, KEY, past.states, K, lambda: None, patience_s=0.3)


async def test_what_the_recommender_refuses_is_told_in_its_own_words(
    recommender: RunningService, past: Past
) -> None:
    with pytest.raises(RowsRefused, match=r"answers 422: .*query\.k"):
        await rows_of(recommender.url, KEY, past.states, 100_000, lambda: None)
