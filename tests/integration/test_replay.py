"""`replay` as a process on a real broker: into live, and into a shadow that is fed and taken down."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra.stack.broker import Broker
from schemas import erasures, events, impressions, sessions
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.impressions import Shown, ShownItem
from schemas.topics import ERASURES, EVENTS, RECOMMENDATIONS, SESSIONS, Topic
from services.clock import now_ms
from services.kafka.clients import Headers
from services.model.session import TYPE_WEIGHTS
from services.settings import ServiceSettings
from services.time_range import format_time
from tests.support.kafka import quick_config, read_topic
from tests.support.launcher import ModuleProcess, run_module, start_module
from tests.support.models import VERSION, store_artifact
from tests.support.patience import wait_until
from tests.support.services import run_service
from tests.support.shop import COUNT, open_shop

pytestmark = pytest.mark.timeout(240)

MINUTE = 60_000
BEGIN = int(now_ms()) // MINUTE * MINUTE - 3 * 24 * 60 * MINUTE
VISITORS = 30
PER_VISITOR = 12
ALL = VISITORS * PER_VISITOR
ERASED, LATER = "visitor-erased", "visitor-of-later"
WITHIN_S = 60

Json = dict[str, Any]


class Live:
    """A shop whose session processor has folded all of its events."""

    def __init__(self, settings: ServiceSettings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
        self.log = folder / "started.log"

    def topics(self, prefix: str) -> set[str]:
        start = self.settings.topic_prefix + prefix
        return {name for name in self.admin.list_topics(timeout=10).topics if name.startswith(start)}

    def newest_sessions(self) -> dict[bytes, bytes | None]:
        return {message.key() or b"": message.value() for message in read_topic(self.settings, SESSIONS)}

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "EDDY_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "EDDY_TOPIC_PREFIX": self.settings.topic_prefix,
            "EDDY_OPS_DATADIR": str(self.folder / "ops"),
            "EDDY_MODEL_STORE": str(self.folder / "models"),
            "EDDY_SESSION_TIMEOUT_S": "3",  # how long a stopped worker stays a member of its group
            "COLUMNS": "160",
        }

    def run(self, *arguments: str, name: str = "replay") -> "subprocess.CompletedProcess[str]":
        return run_module("services.ops", name, *arguments, environment=self.environment, timeout=200)

    def report(self, *arguments: str) -> Json:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        found: Json = json.loads(done.stdout)
        return found

    def start_feeding(self, *arguments: str) -> ModuleProcess:
        """In the middle of feeding: its workers run, and some events are there."""
        with self.log.open("wb") as log:
            process = start_module(
                "services.ops", "replay", *arguments, environment=self.environment, stdout=log, stderr=log
            )

        def feeding() -> None:
            assert process.poll() is None, self.log.read_text()
            assert workers_of(process), "no worker yet"
            assert b"feeding events" in self.log.read_bytes()

        wait_until(feeding)
        return process


def workers_of(process: ModuleProcess) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [each for each in found if "services.session_processor" in each.cmdline()]


def event(visitor_id: str, number: int, at: int) -> Event:
    rng = random.Random(f"{visitor_id}{number}")
    types: tuple[events.EventType, ...] = ("view_item", "view_item", "add_to_cart", "view_item_list")
    return Event(
        event_id=f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
        type=rng.choice(types),
        visitor_id=visitor_id,
        occurred_at=at,
        product_id=f"p{rng.randrange(COUNT)}",
    )


class Past:
    """Puts messages on topics, with the broker's times as told."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._producer = Producer(quick_config(settings, linger_ms=5))

    def put(self, topic: Topic, key: str, value: bytes, at: int) -> None:
        headers: Headers = [("accepted_at", str(at).encode())]
        name = self._settings.topic(topic)
        self._producer.produce(name, value, key.encode(), timestamp=at, headers=headers)
        self._producer.poll(0)

    def happens(self, made: Event) -> None:
        self.put(EVENTS, made.visitor_id, events.encode(made), made.occurred_at)

    def show(self, made: Event, *product_ids: str) -> None:
        """The row that live showed after an event."""
        row = Shown(
            recommendation_id=made.event_id,
            visitor_id=made.visitor_id,
            slot="top",
            kind="for_you",
            shown_at=made.occurred_at + 20,
            items=tuple(ShownItem(product_id=each, score=1.0, source="content") for each in product_ids),
            caused_by=made.event_id,
        )
        self.put(RECOMMENDATIONS, made.visitor_id, impressions.encode(row), row.shown_at)

    def flush(self) -> None:
        assert self._producer.flush(20) == 0


def fill(settings: ServiceSettings) -> None:
    """An hour of visits; two messages that are no events; somebody who is erased, and somebody of later."""
    past = Past(settings)
    for number in range(PER_VISITOR):
        for visitor in range(VISITORS):
            made = event(f"visitor-{visitor}", number, BEGIN + (number * VISITORS + visitor) * 1000)
            past.happens(made)
            past.show(made, *(f"p{each}" for each in range(visitor % 5, COUNT, 5)))
        past.happens(event(ERASED, number, BEGIN + number * 1000))
    past.put(EVENTS, "visitor-1", b"no event", BEGIN + 1)
    past.put(EVENTS, "visitor-2", events.encode(event("visitor-1", 99, BEGIN)), BEGIN + 2)
    past.happens(event(LATER, 0, BEGIN + 2 * 60 * MINUTE))
    # This one was there within the range and came back after it: live knows more than a replay can.
    past.happens(event("visitor-0", PER_VISITOR, BEGIN + 2 * 60 * MINUTE))
    past.flush()
    erasure = Erasure(visitor_id=ERASED, erased_at=BEGIN + 60 * MINUTE)
    past.put(ERASURES, ERASED, erasures.encode(erasure), BEGIN + 60 * MINUTE)
    past.flush()


def count_remembered(visitor: int) -> int:
    """How many events of a visitor a session holds."""
    made = [event(f"visitor-{visitor}", number, 0) for number in range(PER_VISITOR + (visitor == 0))]
    return sum(each.type in TYPE_WEIGHTS for each in made)


@pytest.fixture(scope="module")
def live(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("replay")
    settings = open_shop(broker).settings
    fill(settings)
    with run_service("session_processor", settings, folder / "live.log"):
        found = Live(settings, folder)

        def check_folded() -> None:
            known = found.newest_sessions()
            for visitor in range(VISITORS):
                session = sessions.decode(known[f"visitor-{visitor}".encode()] or b"")
                assert len(session.events) == count_remembered(visitor)
            assert LATER.encode() in known

        wait_until(check_folded)
        yield found


HOUR = ("--from", format_time(BEGIN), "--to", format_time(BEGIN + 60 * MINUTE))


def require_gone(live: Live, prefix: str) -> None:
    """Nothing of a shadow is left: neither topics, nor groups, nor processes, nor files."""
    assert live.topics(prefix) == set()
    start = live.settings.topic_prefix + prefix
    groups = [each.group_id for each in live.admin.list_consumer_groups().result().valid]
    assert not [each for each in groups if each.startswith(start)]
    mine = [each for each in psutil.process_iter(["cmdline", "environ"]) if is_of(each, start)]
    assert mine == []
    work = live.folder / "ops" / "replay"
    assert list(work.iterdir()) == [], "files are left"


def is_of(process: psutil.Process, prefix: str) -> bool:
    environment = process.info["environ"] or {}
    return str(environment.get("EDDY_TOPIC_PREFIX", "")).startswith(prefix)


def test_a_shadow_folds_the_same_sessions_as_live_of_topic_and_archive_whatever_the_workers(
    live: Live, tmp_path: Path
) -> None:
    before = live.newest_sessions()

    plain = live.report(*HOUR, "--prefix", "shadow", "--cases", "0")

    fed, compared = plain["fed"], plain["sessions"]
    assert (fed["events"], fed["visitors"], fed["bad"], fed["erased"]) == (ALL, VISITORS, 2, PER_VISITOR)
    assert (fed["since"], fed["until"]) == (BEGIN, BEGIN + (ALL - 1) * 1000)
    assert (compared["visitors"], compared["equal"], compared["beyond"]) == (VISITORS, VISITORS - 1, 1)
    assert (compared["different"], compared["missing"]) == (0, 0)
    require_gone(live, "shadow")

    weights = tmp_path / "weights.toml"
    weights.write_text("diversity = 0\n[weights.for_you]\nbrand = 0.0\ncategory = -1.0\n")
    page = tmp_path / "report.html"
    archive = str(tmp_path / "archive")
    exported = live.run(archive, name="export")
    assert exported.returncode == 0, exported.stderr
    store = live.folder / "models" / live.settings.topic_prefix
    store_artifact(store / "behaviour" / VERSION, PAST)
    options = ("--settings", str(weights), "--model", "item2vec=1", "--workers", "2", "--cases", "60")
    other = live.report(*HOUR, "--prefix", "shadow", "--archive", archive, *options, "--html", str(page))

    assert other["sessions"] == compared, "two replays of one range are byte-equal"
    assert other["fed"]["workers"] == 2
    assert other["asked"]["settings"] == {"diversity": "0"}
    assert other["asked"]["weights"] == {"for_you": {"brand": 0.0, "category": -1.0}}
    assert other["asked"]["models"] == [f"behaviour={VERSION}"]
    models = {each["name"]: each["models"] for each in other["qualities"]}
    assert f"behaviour={VERSION}" in models["shadow"]
    assert not [each for each in models["live settings"] if "behaviour" in each]
    assert {each["name"]: each["cases"] for each in other["qualities"]} == {
        "shadow": 60, "live settings": 60, "as shown": 60,
    }  # fmt: skip
    pair = next(each for each in other["compared"] if {each["name"], each["with_name"]} == SHADOW_AND_LIVE)
    assert pair["equal_rows"] < pair["cases"], "the weights have changed rows"
    assert other["verdict"]
    assert "<html" in page.read_text()
    assert live.newest_sessions() == before, "live is as it was"
    require_gone(live, "shadow")


PAST = [[f"p{(number + 7 * nth) % COUNT}" for nth in range(3)] for number in range(COUNT)] * 3
SHADOW_AND_LIVE = {"shadow", "live settings"}


def test_killed_in_the_middle_it_can_be_run_again_and_what_was_left_is_gone(live: Live) -> None:
    slow = live.start_feeding(*HOUR, "--prefix", "killed", "--speed", "1", "--cases", "0")
    workers = workers_of(slow)
    slow.kill()
    slow.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not [each for each in workers if each.is_running()], "a worker has outlived its replay"
    assert live.topics("killed"), "nothing is left to be removed"

    made = live.report(*HOUR, "--prefix", "killed", "--cases", "0")

    assert made["fed"]["events"] == ALL
    require_gone(live, "killed")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal_it_takes_everything_down(
    live: Live, number: signal.Signals, status: int
) -> None:
    process = live.start_feeding(*HOUR, "--prefix", "stopped", "--speed", "1", "--cases", "0")

    process.send_signal(number)

    assert process.wait(60) == status
    assert "the shadow is taken down" in live.log.read_text()
    require_gone(live, "stopped")


def test_the_topics_of_somebody_else_are_not_touched(live: Live) -> None:
    name = live.settings.topic_prefix + "tenant.events"
    live.admin.create_topics([NewTopic(name, 1, 1)])[name].result()

    def there() -> None:
        assert live.topics("tenant") == {name}

    wait_until(there)

    refused = live.run(*HOUR, "--prefix", "tenant")

    assert refused.returncode == 2
    assert f"there are topics that no replay made: {name}" in refused.stderr
    assert live.topics("tenant") == {name}


def test_a_setting_that_a_service_does_not_take_is_told_and_everything_is_taken_down(
    live: Live, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("session_gap_minutes = -1\n")
    refused = live.run(*HOUR, "--prefix", "wrong", "--settings", str(wrong))
    assert refused.returncode == 2
    assert "EDDY_SESSION_GAP_MINUTES" in refused.stderr
    assert "greater than 0" in refused.stderr
    require_gone(live, "wrong")


def test_into_live_nothing_changes_twice_and_the_way_of_each_event_is_told(live: Live) -> None:
    before, there = live.newest_sessions(), len(read_topic(live.settings, EVENTS))
    refused = live.run(*HOUR)
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    assert len(read_topic(live.settings, EVENTS)) == there

    made = live.report(*HOUR, "--visitor", "visitor-3", "--speed", "1000", "--yes")

    assert made["fed"]["events"] == PER_VISITOR
    assert (made["sessions"]["equal"], made["sessions"]["different"]) == (1, 0)
    assert live.newest_sessions() == before
    assert any("after they were due" in note for note in made["notes"])
    again = [each for each in read_topic(live.settings, EVENTS) if b"replayed_from" in header_names(each)]
    assert len(again) == PER_VISITOR
    for each in again:
        assert b"accepted_at" not in header_names(each)
        assert each.key() == b"visitor-3"
        assert each.timestamp()[1] == events.decode(each.value() or b"").occurred_at


def header_names(message: Any) -> set[bytes]:
    return {str(name).encode() for name, _ in message.headers() or []}


def test_into_live_without_a_session_processor_says_what_to_start(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    past = Past(kafka)
    past.happens(event("visitor-1", 1, BEGIN))
    past.flush()

    refused = Live(kafka, tmp_path).run("--yes")

    assert refused.returncode == 2
    assert "python -m services.session_processor" in refused.stderr
    assert len(read_topic(kafka, EVENTS)) == 1


def test_a_range_without_events_is_told(live: Live) -> None:
    refused = live.run("--from", "2001-01-01", "--to", "2001-01-02", "--prefix", "shadow")

    assert refused.returncode == 2
    assert "holds no events" in refused.stderr
    assert "of other times" in refused.stderr
    assert live.topics("shadow") == set()
