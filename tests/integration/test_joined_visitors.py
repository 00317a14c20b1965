"""Visitors who turn out to be one user, through the whole flow: ingest, session processor and recommender.

What a page shows follows from all that the person has done, on whichever partition and in whichever browser.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import pytest

from infra.stack.broker import Broker
from schemas.identities import visitor_of
from schemas.topics import IDENTITIES, SESSIONS
from services.clock import now_ms
from tests.support.kafka import read_topic
from tests.support.patience import eventually
from tests.support.services import KEY, WRITE_KEY, RunningService, run_service
from tests.support.shop import Json, Live, Shop, ids, open_shop
from tests.support.visits import identify, send_views

pytestmark = pytest.mark.timeout(200)

LAMPS: Final = tuple(f"p{number}" for number in range(1, 60, 3))  # all of one shelf
SLOT: Final[Json] = {"name": "for_you", "kind": "for_you", "k": len(LAMPS)}


class Flow(NamedTuple):
    """The running services of one shop."""

    shop: Shop
    ingest: RunningService
    recommender: RunningService


@pytest.fixture(scope="module")
def flow(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    shop, folder = open_shop(broker), tmp_path_factory.mktemp("flow")
    keys = {"EDDY_WRITE_KEY": WRITE_KEY}
    with (
        run_service("ingest", shop.settings, folder / "ingest", environment=keys) as ingest,
        run_service("session_processor", shop.settings, folder / "processor"),
        run_service("recommender", shop.settings, folder / "recommender") as recommender,
    ):
        yield Flow(shop, ingest, recommender)


def lamps(row: Json) -> set[str]:
    """The lamps of a row; one with room for all of them lacks those that the person has seen."""
    return set(ids(row)) & set(LAMPS)


def poll(service: RunningService, visitor_id: str) -> Json:
    """The visitor's row by HTTP."""
    answer = service.http.get(
        "/v1/recommendations",
        params={"visitor_id": visitor_id, "k": SLOT["k"]},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def lacks(service: RunningService, visitor_id: str, *seen: str) -> None:
    """Waits until the visitor's row leaves out these lamps and no others."""

    async def check_left_out() -> None:
        assert lamps(poll(service, visitor_id)) == set(LAMPS) - set(seen)

    await eventually(check_left_out)


async def shows_all_but(live: Live, *seen: str) -> Json:
    """The push that leaves out these lamps and no others; what was under way before is passed over."""
    while lamps(message := await live.next()) != set(LAMPS) - set(seen):
        pass
    return message


def partition(flow: Flow, visitor_id: str) -> int:
    """Where the visitor's session lies."""
    found = {each.key(): each.partition() for each in read_topic(flow.shop.settings, SESSIONS)}
    number = found[visitor_id.encode()]
    assert number is not None
    return number


def joins(flow: Flow, visitor_id: str) -> int:
    """How often the topic says who the visitor is."""
    return sum(each.key() == visitor_id.encode() for each in read_topic(flow.shop.settings, IDENTITIES))


async def elsewhere(flow: Flow, known: str, product_id: str) -> str:
    """A visitor on another partition than the known one, who has looked at the product."""
    own = partition(flow, known)
    for _ in range(40):
        other = f"anon-{uuid4().hex}"
        send_views(flow.ingest, other, product_id)
        await lacks(flow.recommender, other, product_id)
        if partition(flow, other) != own:
            return other
    raise AssertionError("forty visitors lie on one partition")


async def test_a_join_changes_open_pages_at_once_and_twice_nothing(flow: Flow, user: str) -> None:
    one, its_user = f"anon-{uuid4().hex}", visitor_of(user)
    send_views(flow.ingest, one, "p4")
    await lacks(flow.recommender, one, "p4")
    other = await elsewhere(flow, one, "p7")
    send_views(flow.ingest, its_user, "p10")
    await lacks(flow.recommender, its_user, "p10")
    async with flow.shop.live(flow.recommender, one, SLOT) as live:
        await shows_all_but(live, "p4")
        at = now_ms()
        identify(flow.ingest, one, user, at)
        await shows_all_but(live, "p4", "p10")
        identify(flow.ingest, other, user, at)
        joined = await shows_all_but(live, "p4", "p7", "p10")
        for each in (one, other, its_user):
            assert ids(poll(flow.recommender, each)) == ids(joined)

        # Sent again as it was, and by a browser that says it later: nobody's page moves.
        written = joins(flow, one), joins(flow, other)
        identify(flow.ingest, one, user, at)
        identify(flow.ingest, other, user, at)
        assert (joins(flow, one), joins(flow, other)) == written
        identify(flow.ingest, other, user, at + 5)

        # What any of them does counts for all, and it is the next push: the joins have brought none.
        for number, (visitor_id, seen) in enumerate(
            [(other, "p13"), (one, "p16"), (its_user, "p19")], start=1
        ):
            [event_id] = send_views(flow.ingest, visitor_id, seen)
            message = await live.next()
            assert message["caused_by"] == event_id
            assert message["seq"] == joined["seq"] + number
            assert seen not in ids(message)
        for each in (one, other, its_user):
            assert ids(poll(flow.recommender, each)) == ids(message)


async def test_a_killed_recommender_knows_who_is_who_again(flow: Flow, user: str, tmp_path: Path) -> None:
    one, other = f"anon-{uuid4().hex}", f"anon-{uuid4().hex}"
    with run_service("recommender", flow.shop.settings, tmp_path / "log") as service:
        send_views(flow.ingest, one, "p4", "p13")
        send_views(flow.ingest, other, "p7")
        at = now_ms()
        identify(flow.ingest, other, user, at)
        identify(flow.ingest, one, user, at)
        for each in (one, other):
            await lacks(service, each, "p4", "p7", "p13")
        before = [poll(service, each) for each in (one, other, visitor_of(user))]
        service.kill()
        with run_service("recommender", flow.shop.settings, tmp_path / "log", port=service.port) as again:
            after = [poll(again, each) for each in (one, other, visitor_of(user))]
    for old, new in zip(before, after, strict=True):
        assert new == old | {"recommendation_id": new["recommendation_id"]}


async def test_who_logs_in_as_somebody_else_leaves_the_first(flow: Flow, user: str) -> None:
    one, other = f"anon-{uuid4().hex}", f"anon-{uuid4().hex}"
    send_views(flow.ingest, one, "p4")
    send_views(flow.ingest, other, "p7")
    at = now_ms()
    identify(flow.ingest, one, user, at)
    identify(flow.ingest, other, user, at)
    await lacks(flow.recommender, one, "p4", "p7")
    async with flow.shop.live(flow.recommender, one, SLOT) as live:
        await shows_all_but(live, "p4", "p7")
        identify(flow.ingest, other, f"{user}-partner", at + 1000)
        await shows_all_but(live, "p4")
        await lacks(flow.recommender, other, "p7")
        # A word that was under way since before does not bring them together again.
        identify(flow.ingest, other, user, at + 500, outdated=1)
        send_views(flow.ingest, other, "p10")
        await lacks(flow.recommender, other, "p7", "p10")
        [event_id] = send_views(flow.ingest, one, "p13")
        message = await live.next()
    assert (message["caused_by"], lamps(message)) == (event_id, set(LAMPS) - {"p4", "p13"})
    assert poll(flow.recommender, visitor_of(user))["caused_by"] == event_id
