"""From one release to the next and back, service by service, while visitors click: two real versions.

The code of the release before is taken from git's history. Nothing that was answered 202 may be lost or
counted twice, and whatever one version has written the other reads, or makes anew.
"""

import asyncio
import json
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from infra.stack.broker import Broker
from schemas import sessions
from schemas.sessions import Session
from schemas.topics import EVENTS_DLQ, SESSIONS
from services.clock import now_ms
from services.kafka.admin import KafkaAdmin, create
from services.ops.tenants.report import own_topics
from services.settings import ServiceSettings
from services.version import UNTOLD, VERSION
from tests.support.kafka import read_topic
from tests.support.machine import free_ports
from tests.support.operator import run_command
from tests.support.patience import patiently
from tests.support.services import ADMIN_KEY, KEY, RunningService, run_service
from tests.support.shop import COUNT, FOR_YOU, Shop, fill_shop, get, ids, metrics, open_shop

pytestmark = pytest.mark.timeout(900)
VISITORS: Final = 12
OLD, NEW = "old", "new"
READERS_FIRST: Final = ("recommender", "session_processor", "ingest")


class Roll:
    """A shop whose services are of either release, and visitors who click all the while."""

    def __init__(self, shop: Shop, old_tree: Path, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.sent: dict[str, list[str]] = defaultdict(list)  # by visitor, what was answered 202
        self._newest: dict[str, str] = {}  # by visitor, the product of the newest event
        self._old_tree = old_tree
        self._number = 0

    @contextmanager
    def run(self, release: str, service: str, place: str = "a") -> Iterator[RunningService]:
        """One process; `place` is what it has of its own: a folder and a name in its group."""
        own = {
            "EDDY_SESSION_PROCESSOR_INSTANCE": place,
            "EDDY_SESSION_PROCESSOR_DATADIR": str(self.folder / f"faust-{place}"),
            "EDDY_RECOMMENDER_DATADIR": str(self.folder / f"recommender-{place}"),
            "EDDY_SNAPSHOT_PRODUCTS": "1",
            "EDDY_STOP_DELAY_S": "0",
            "EDDY_ADMIN_KEY": ADMIN_KEY,
        }
        self._number += 1
        log = self.folder / f"{self._number:02}-{release}-{service}-{place}.log"
        tree = self._old_tree if release == OLD else None
        with run_service(service, self.shop.settings, log, environment=own, tree=tree) as running:
            yield running

    def click(self, ingest: RunningService, rounds: int = 2) -> None:
        """Every visitor looks at products; each look is answered 202, whatever is being rolled."""
        for _ in range(rounds):
            for number in range(VISITORS):
                visitor = f"visitor-{number}"
                product = f"p{(7 * number + 5 * len(self.sent[visitor])) % COUNT}"
                self.send(ingest, visitor, "view_item", product)

    def send(self, ingest: RunningService, visitor: str, type_: str, product: str) -> str:
        """One event, answered 202; its id."""
        event = {
            "event_id": str(uuid4()),
            "type": type_,
            "visitor_id": visitor,
            "product_id": product,
            "occurred_at": int(now_ms()),
        }
        if type_ == "purchase":
            event |= {"value": 10.0, "currency": "EUR"}
        answer = ingest.http.post(
            "/v1/events", json={"events": [event]}, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert answer.status_code == 202, answer.text
        self.sent[visitor].append(str(event["event_id"]))
        self._newest[visitor] = product
        return str(event["event_id"])

    def check_sessions(self, within_s: float = 90) -> None:
        """Each visitor's newest session holds all that was answered 202, each once."""

        @patiently(within_s, 0.5)
        def check() -> None:
            newest = self.newest_sessions()
            for visitor, sent in self.sent.items():
                held = Counter(event.identity for event in newest[visitor].events)
                assert held == Counter(map(sessions.identity, sent)), f"{visitor}: {len(held)} of {len(sent)}"

        check()

    def newest_sessions(self) -> dict[str, Session]:
        """What lies on the topic, by today's code."""
        found: dict[str, Session] = {}
        for message in read_topic(self.shop.settings, SESSIONS):
            key, value = (message.key() or b"").decode(), message.value()
            if value is None:
                found.pop(key, None)
            else:
                found[key] = sessions.decode(value)
        return found

    def check_rows(self, recommender: RunningService) -> None:
        """It knows the newest event of every visitor, and has a row for each."""

        @patiently(60, 0.25)
        def check() -> None:
            for visitor, sent in self.sent.items():
                profile = self._ask(recommender, f"/v1/visitors/{visitor}/profile")
                assert profile["events"][0]["product_id"] == self._newest[visitor], visitor
                row = self._ask(recommender, "/v1/recommendations", visitor_id=visitor, k="6")
                assert len(ids(row)) == 6, (visitor, len(sent))

        check()

    @staticmethod
    def _ask(recommender: RunningService, path: str, **parameters: str) -> dict[str, Any]:
        answer = recommender.http.get(path, params=parameters, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def check_push(self, ingest: RunningService, recommender: RunningService) -> None:
        """A click moves an open page: ingest, worker and recommender may be of different releases."""

        async def push() -> None:
            visitor = "visitor-0"
            async with self.shop.live(recommender, visitor, FOR_YOU) as page:
                await page.next()
                event_id = await asyncio.to_thread(self.send, ingest, visitor, "add_to_cart", "p3")
                assert len(ids(await page.push_of(event_id))) == 6

        asyncio.run(push())

    def stop(self, service: RunningService) -> None:
        """As an orchestrator does: SIGTERM, and it ends by itself and well."""
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) in {0, -signal.SIGTERM}, service.log.read_text()[-2000:]

    def nothing_is_refused(self) -> None:
        """No worker of either release has found a message that it could not read."""
        assert [(m.value(), m.headers()) for m in read_topic(self.shop.settings, EVENTS_DLQ)] == []


@pytest.fixture
def roll(broker: Broker, old_tree: Path, tmp_path: Path) -> Roll:
    """Topics of this test alone."""
    return Roll(open_shop(broker), old_tree, tmp_path)


@pytest.fixture
def only_shop(broker: Broker, old_tree: Path, tmp_path: Path) -> Iterator[Roll]:
    """Topics without a prefix: the shop's folders are those that the release before has, too."""
    settings = ServiceSettings(kafka_bootstrap=broker.bootstrap)
    create(settings)
    yield Roll(fill_shop(settings), old_tree, tmp_path)
    admin = KafkaAdmin(settings)
    admin.delete_topics(own_topics("", [*admin.cluster().topics], ["session-processor"]), 60)


def findings(roll: Roll, **urls: str) -> dict[str, Any]:
    """The doctor's lines, by check."""
    environment = {
        "EDDY_KAFKA_BOOTSTRAP": roll.shop.settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": roll.shop.settings.topic_prefix,
        "EDDY_API_KEY": KEY,
        "EDDY_EMBEDDER_URL": f"http://127.0.0.1:{free_ports(1)[0]}",
    } | {f"EDDY_{name.upper()}_URL": url for name, url in urls.items()}
    told = json.loads(run_command(environment, "doctor", "--json", status=1).out)
    return {each["check"]: each for each in told["findings"]}


@pytest.mark.parametrize(("before", "after"), [(OLD, NEW), (NEW, OLD)], ids=["forward", "back"])
def test_services_are_rolled_one_by_one_and_nothing_is_lost(roll: Roll, before: str, after: str) -> None:
    """Readers before writers, as upgrade.md has it, and back the other way round."""
    order = READERS_FIRST if after == NEW else READERS_FIRST[::-1]
    with ExitStack() as running:
        now = {each: running.enter_context(roll.run(before, each)) for each in READERS_FIRST}
        roll.click(now["ingest"])
        roll.send(now["ingest"], "visitor-1", "purchase", "p9")
        roll.check_sessions()
        roll.check_rows(now["recommender"])
        for service in order:
            former, later = now[service], running.enter_context(roll.run(after, service, "b"))
            for each in (former, later):  # both at once: either is asked, and both work
                beside = now | {service: each}
                roll.click(beside["ingest"])
                roll.check_push(beside["ingest"], beside["recommender"])
                roll.check_rows(beside["recommender"])
            if service == "session_processor":
                check_mixed(findings(roll, **{name: each.url for name, each in now.items()}))
            roll.stop(former)
            now[service] = later
            roll.click(now["ingest"])
            roll.check_sessions()
            roll.check_push(now["ingest"], now["recommender"])
        roll.check_rows(now["recommender"])
        roll.nothing_is_refused()


def check_mixed(told: dict[str, Any]) -> None:
    """The doctor names both releases and a worker of each."""
    assert told["releases"]["state"] == "warn"
    older, newer, _ = told["releases"]["found"].removeprefix("several at once: ").split("; ")
    assert older.startswith(f"{UNTOLD}: ")
    assert newer.startswith(f"{VERSION}: ")
    assert "session_processor " in older
    assert "session_processor " in newer


@pytest.mark.parametrize(("before", "after"), [(OLD, NEW), (NEW, OLD)], ids=["forward", "back"])
def test_a_worker_in_the_same_place_goes_on_from_what_the_other_release_has_stored(
    only_shop: Roll, before: str, after: str
) -> None:
    """The table's changelog and Faust's own folder, the recommender's copy of products and its index."""
    roll = only_shop
    with ExitStack() as running:
        ingest = running.enter_context(roll.run(OLD, "ingest"))
        with (
            roll.run(before, "session_processor") as worker,
            roll.run(before, "recommender") as recommender,
        ):
            roll.click(ingest)
            roll.check_sessions()
            wait_for_copy(recommender)
            copies = [*(roll.folder / "recommender-a").rglob("manifest.json")]
            assert copies, "nothing was kept, so nothing is tried"
            roll.stop(worker)
            roll.stop(recommender)
        roll.click(ingest)
        with (
            roll.run(after, "session_processor") as worker,
            roll.run(after, "recommender") as recommender,
        ):
            roll.check_sessions()
            roll.check_rows(recommender)
            assert get(recommender, "/readyz")["products"] == COUNT
            log = recommender.log.read_text()
            assert "products are known from a copy" in log or "the copy of the products is thrown away" in log
            roll.check_push(ingest, recommender)
            roll.nothing_is_refused()


def wait_for_copy(recommender: RunningService) -> None:
    """A copy of the products is on disk."""

    @patiently(60, 0.25)
    def check() -> None:
        [line] = [
            each
            for each in metrics(recommender).splitlines()
            if each.startswith("eddy_recommender_snapshot_timestamp_seconds ")
        ]
        assert float(line.split()[1]) > 0

    check()


@pytest.mark.parametrize(("before", "after"), [(OLD, NEW), (NEW, OLD)], ids=["forward", "back"])
def test_who_is_forgotten_by_one_release_is_forgotten_by_the_other(
    roll: Roll, before: str, after: str
) -> None:
    with ExitStack() as running:
        ingest = running.enter_context(roll.run(before, "ingest"))
        worker = running.enter_context(roll.run(before, "session_processor"))
        roll.click(ingest)
        roll.check_sessions()
        roll.stop(worker)
        gone = ingest.http.delete("/v1/visitors/visitor-3", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        assert gone.is_success, gone.text
        del roll.sent["visitor-3"]
        with roll.run(after, "session_processor"), roll.run(after, "recommender") as recommender:

            @patiently(60, 0.25)
            def check_gone() -> None:
                left = roll.newest_sessions().get("visitor-3")
                assert left is None or not left.events

            check_gone()
            roll.check_sessions()
            roll.check_rows(recommender)
