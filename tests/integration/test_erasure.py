"""A visitor asks to be forgotten, through the whole flow: real broker, real processes, one of them killed."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message

from infra.stack.broker import Broker
from schemas import sessions
from schemas.identities import visitor_of
from schemas.sessions import identity
from schemas.topics import ERASURES, IDENTITIES, SESSIONS, Topic
from services.clock import now_ms
from services.progress import Silent
from services.time_range import TimeRange
from services.trainer import topic_history
from tests.support.kafka import read_topic
from tests.support.launcher import run_module
from tests.support.patience import eventually
from tests.support.services import ADMIN_KEY, KEY, WRITE_KEY, RunningService, run_service
from tests.support.shop import FOR_YOU, Json, Shop, open_shop
from tests.support.visits import identify, send_views

pytestmark = pytest.mark.timeout(200)


@dataclass
class Flow:
    """The running services of one shop; the session processor can be killed and started again."""

    shop: Shop
    folder: Path
    ingest: RunningService
    recommender: RunningService
    workers: list[Any] = field(default_factory=list)

    def start_worker(self) -> RunningService:
        started = run_service("session_processor", self.shop.settings, self.folder / "processor")
        worker = started.__enter__()
        self.workers.append((started, worker))
        return worker

    @property
    def worker(self) -> RunningService:
        worker: RunningService = self.workers[-1][1]
        return worker


@pytest.fixture(scope="module")
def flow(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    shop, folder = open_shop(broker), tmp_path_factory.mktemp("flow")
    keys = {"EDDY_WRITE_KEY": WRITE_KEY, "EDDY_ADMIN_KEY": ADMIN_KEY}
    with (
        run_service("ingest", shop.settings, folder / "ingest", environment=keys) as ingest,
        run_service("recommender", shop.settings, folder / "recommender") as recommender,
    ):
        flow = Flow(shop, folder, ingest, recommender)
        flow.start_worker()
        yield flow
        for started, _ in flow.workers:
            started.__exit__(None, None, None)


def ops(flow: Flow, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m services.ops …` as an operator runs it."""
    variables = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": flow.shop.settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": flow.shop.settings.topic_prefix,
        "EDDY_RECOMMENDER_URL": flow.recommender.url,
        "EDDY_API_KEY": KEY,
    }
    return run_module("services.ops", *arguments, environment=variables)


def profile(flow: Flow, visitor_id: str) -> Json:
    answer = flow.recommender.http.get(
        f"/v1/visitors/{visitor_id}/profile", headers={"Authorization": f"Bearer {KEY}"}
    )
    answer.raise_for_status()
    found: Json = answer.json()
    return found


def products_of(flow: Flow, visitor_id: str) -> list[str]:
    return [event["product_id"] for event in profile(flow, visitor_id)["events"]]


async def remembers(flow: Flow, visitor_id: str, *product_ids: str) -> None:
    async def remembers_them() -> None:
        assert set(products_of(flow, visitor_id)) == set(product_ids)

    # A killed worker stays in its group for three seconds; the next one folds only after that.
    await eventually(remembers_them)


def newest(flow: Flow, topic: Topic, visitor_id: str) -> Message:
    return [each for each in read_topic(flow.shop.settings, topic) if each.key() == visitor_id.encode()][-1]


def on_changelog(flow: Flow, visitor_id: str) -> bytes | None:
    prefix = flow.shop.settings.topic_prefix
    name = f"{prefix}session-processor-sessions-changelog"
    topic = Topic(name, "", "", "raw", SESSIONS.partitions, "compact", (), ())
    unprefixed = flow.shop.settings.model_copy(update={"topic_prefix": ""})
    found = [each for each in read_topic(unprefixed, topic) if each.key() == visitor_id.encode()]
    return found[-1].value()


async def test_open_pages_start_anew_within_a_second_and_the_report_says_what_went_where(
    flow: Flow, visitor: str
) -> None:
    async with flow.shop.live(flow.recommender, visitor, FOR_YOU) as live:
        await live.next()
        viewed = send_views(flow.ingest, visitor, "p1", "p4")
        await live.push_of(viewed[-1])
        erasing = asyncio.create_task(asyncio.to_thread(ops, flow, "erase", visitor, "--yes", "--json"))
        while (row := await live.next()).get("fallback") != "new_visitor":
            pass
        pushed_at = row["timing"]["pushed_at"]
        done = await erasing
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["visitors"] == [visitor]
    assert report["unconfirmed"] == []
    assert pushed_at - report["erased_at"] < 1000
    assert report["confirmed"][visitor] < 1000
    places = {place["where"]: place for place in report["places"]}
    assert places["sessions"]["removed"].startswith("2 events")
    prefix = flow.shop.settings.topic_prefix
    assert places[f"{prefix}events"]["left_out"] == "2 events"
    assert places[f"{prefix}events"]["gone_by"] > report["erased_at"]
    assert places[f"{prefix}recommendations"]["left_out"] != "0 impressions"
    assert products_of(flow, visitor) == []
    assert newest(flow, SESSIONS, visitor).value() is None
    assert on_changelog(flow, visitor) is None


async def test_tokens_from_before_open_nothing_and_open_sockets_end(flow: Flow, visitor: str) -> None:
    token = flow.shop.token(visitor)
    as_visitor = {"X-Eddy-Token": token}
    own: dict[str, Any] = {"params": {"visitor_id": visitor}, "headers": as_visitor}
    assert flow.recommender.http.get("/v1/recommendations", **own).status_code == 200
    async with flow.shop.live(flow.recommender, visitor, FOR_YOU) as live:
        await live.next()
        erased = flow.ingest.http.delete(f"/v1/visitors/{visitor}", headers=as_visitor)
        assert (erased.status_code, erased.json()["erased"]) == (202, [visitor])
        code, reason = await live.wait_for_close()
        assert (code, "erased" in reason) == (1008, True)

    async def is_refused() -> None:
        assert flow.recommender.http.get("/v1/recommendations", **own).status_code == 401
        renewed = flow.ingest.http.post("/v1/visitors", json={"token": token})
        assert (renewed.status_code, "erased" in renewed.json()["detail"]) == (401, True)
        sent = flow.ingest.http.post("/v1/events", json={"events": [{}]}, headers=as_visitor)
        assert sent.status_code == 401

    await eventually(is_refused)
    as_back_end = {"Authorization": f"Bearer {KEY}"}
    again = flow.ingest.http.post("/v1/visitors", json={"visitor_id": visitor}, headers=as_back_end).json()
    shown = {"X-Eddy-Token": again["token"]}
    row = flow.recommender.http.get("/v1/recommendations", params={"visitor_id": visitor}, headers=shown)
    assert row.status_code == 200


async def test_a_visitor_erases_what_is_proven_to_be_its_own_and_nobody_by_a_claim(
    flow: Flow, visitor: str
) -> None:
    user, phone, thief = f"user-{uuid4().hex}", f"phone-{uuid4().hex}", f"thief-{uuid4().hex}"
    for each in (visitor, phone):
        body = {"anonymousId": each, "userId": user}
        proof = {"Authorization": f"Bearer {KEY}"}
        assert flow.ingest.http.post("/v1/identify", json=body, headers=proof).status_code == 200
    identify(flow.ingest, thief, user)
    send_views(flow.ingest, phone, "p1")
    send_views(flow.ingest, thief, "p2")
    await remembers(flow, visitor, "p1", "p2")  # by the back end's key

    def products_for(who: str) -> set[str]:
        shown = {"X-Eddy-Token": flow.shop.token(who)}
        answer = flow.recommender.http.get(f"/v1/visitors/{who}/profile", headers=shown)
        return {event["product_id"] for event in answer.json()["events"]}

    assert (products_for(visitor), products_for(thief)) == ({"p1"}, {"p2"})
    assert (
        flow.ingest.http.delete(
            f"/v1/visitors/{phone}", headers={"X-Eddy-Token": flow.shop.token(thief)}
        ).status_code
        == 401
    )
    by_thief = flow.ingest.http.delete(
        f"/v1/visitors/{thief}", headers={"X-Eddy-Token": flow.shop.token(thief)}
    )
    assert by_thief.json()["erased"] == [thief]
    await remembers(flow, phone, "p1")
    by_itself = flow.ingest.http.delete(
        f"/v1/visitors/{visitor}", headers={"X-Eddy-Token": flow.shop.token(visitor)}
    )
    assert set(by_itself.json()["erased"]) == {visitor, phone, visitor_of(user)}
    await remembers(flow, phone)


async def test_what_comes_after_starts_from_nothing_and_what_was_before_comes_not_back(
    flow: Flow, visitor: str
) -> None:
    send_views(flow.ingest, visitor, "p1", "p4")
    await remembers(flow, visitor, "p1", "p4")
    assert ops(flow, "erase", visitor, "--yes").returncode == 0
    send_views(flow.ingest, visitor, "p2", at=now_ms() - 60_000)  # waited in the browser since before
    after = send_views(flow.ingest, visitor, "p7")
    await remembers(flow, visitor, "p7")
    session = sessions.decode(newest(flow, SESSIONS, visitor).value() or b"")
    assert [event.identity for event in session.events] == [identity(after[0])]

    tally = topic_history.read(flow.shop.settings, TimeRange(), {"view_item"}, Silent())
    places = dict(enumerate(tally.events.visitor_ids))
    mine = [
        tally.events.product_ids[item]
        for item, whose in zip(tally.events.items, tally.events.visitors, strict=True)
        if places[int(whose)] == visitor
    ]
    assert mine == ["p7"]


async def test_all_browsers_of_the_person_are_forgotten_and_a_new_login_begins_anew(
    flow: Flow, visitor: str
) -> None:
    user, phone = f"user-{uuid4().hex}", f"phone-{uuid4().hex}"
    identify(flow.ingest, visitor, user)
    identify(flow.ingest, phone, user)
    send_views(flow.ingest, visitor, "p1")
    send_views(flow.ingest, phone, "p2")
    await remembers(flow, phone, "p1", "p2")
    answer = flow.ingest.http.delete(
        f"/v1/visitors/{visitor}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    )
    assert answer.status_code == 202
    assert set(answer.json()["erased"]) == {visitor, phone, visitor_of(user)}
    await remembers(flow, phone)
    await remembers(flow, visitor)
    assert profile(flow, visitor)["visitors"] == 1
    assert newest(flow, IDENTITIES, phone).value() is None

    identify(flow.ingest, visitor, user)
    send_views(flow.ingest, visitor, "p5")
    await remembers(flow, visitor, "p5")
    await remembers(flow, visitor_of(user), "p5")
    await remembers(flow, phone)


async def test_one_browser_alone_can_be_forgotten(flow: Flow, visitor: str) -> None:
    user, phone = f"user-{uuid4().hex}", f"phone-{uuid4().hex}"
    identify(flow.ingest, visitor, user)
    identify(flow.ingest, phone, user)
    send_views(flow.ingest, visitor, "p1")
    send_views(flow.ingest, phone, "p2")
    await remembers(flow, phone, "p1", "p2")
    done = ops(flow, "erase", visitor, "--only", "--yes", "--json")
    assert json.loads(done.stdout)["visitors"] == [visitor]
    await remembers(flow, phone, "p2")
    await remembers(flow, visitor)


async def test_with_no_session_processor_pages_forget_at_once_and_the_next_worker_does_the_rest(
    flow: Flow, visitor: str
) -> None:
    send_views(flow.ingest, visitor, "p1", "p4")
    await remembers(flow, visitor, "p1", "p4")
    flow.worker.kill()
    done = ops(flow, "erase", visitor, "--yes", "--wait", "0.5")
    assert done.returncode == 1
    assert "Start a session processor" in done.stderr
    assert products_of(flow, visitor) == []
    assert on_changelog(flow, visitor) is not None
    send_views(flow.ingest, visitor, "p8")
    flow.start_worker()
    await remembers(flow, visitor, "p8")
    session = sessions.decode(newest(flow, SESSIONS, visitor).value() or b"")
    assert [event.product_id for event in session.events] == ["p8"]
    again = ops(flow, "erase", visitor, "--yes")
    assert again.returncode == 0, again.stderr


async def test_a_worker_that_is_killed_at_that_moment_has_forgotten_when_it_is_back(
    flow: Flow, visitor: str
) -> None:
    send_views(flow.ingest, visitor, "p1", "p4")
    await remembers(flow, visitor, "p1", "p4")
    erasing = asyncio.create_task(asyncio.to_thread(ops, flow, "erase", visitor, "--yes", "--wait", "1"))

    async def check_written() -> None:
        assert any(each.key() == visitor.encode() for each in read_topic(flow.shop.settings, ERASURES))

    await eventually(check_written)
    flow.worker.kill()
    await erasing
    flow.start_worker()
    await remembers(flow, visitor)

    async def is_gone() -> None:
        assert newest(flow, SESSIONS, visitor).value() is None
        assert on_changelog(flow, visitor) is None

    await eventually(is_gone)


def test_only_the_admin_key_opens_it(flow: Flow, visitor: str) -> None:
    http = flow.ingest.http
    assert http.delete(f"/v1/visitors/{visitor}").status_code == 401
    as_back_end = {"Authorization": f"Bearer {KEY}"}
    assert http.delete(f"/v1/visitors/{visitor}", headers=as_back_end).status_code == 401
    as_admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    refused = http.delete("/v1/visitors/no%20visitor", headers=as_admin)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    nobody = http.delete(f"/v1/visitors/{visitor}", headers=as_admin)
    assert nobody.status_code == 202
    assert nobody.json()["erased"] == [visitor]


def test_the_command_refuses_what_names_nobody_and_asks_before_it_forgets(flow: Flow, visitor: str) -> None:
    assert "is no visitor_id" in ops(flow, "erase", "no visitor", "--yes").stderr
    unasked = ops(flow, "erase", visitor)
    assert unasked.returncode == 2
    assert "say --yes" in unasked.stderr
