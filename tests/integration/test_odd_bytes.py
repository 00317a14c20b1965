"""Odd bytes on every topic of a running shop: services go on and start again, commands end with words."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from infra.stack.broker import Broker
from schemas import deadletters, sessions
from schemas.topics import (
    EVENTS,
    EVENTS_DLQ,
    PRODUCT_VECTORS,
    PRODUCTS,
    PRODUCTS_DLQ,
    SESSIONS,
    TOPICS,
    Topic,
)
from services.kafka.clients import Headers, producer_config
from services.kafka.ranges import headers_of
from services.ops.__main__ import app
from services.progress import Silent
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.trainer import content, topic_history
from tests.support import odd_bytes
from tests.support.embedder_service import boot, put, run_embedder
from tests.support.kafka import create_topics, read_topic
from tests.support.operator import settings_without_services
from tests.support.patience import wait_until
from tests.support.services import ADMIN_KEY, KEY, RunningService, run_service

pytestmark = pytest.mark.timeout(600)  # four services start twice
WITHIN_S = 60
BY_KEY = {"Authorization": f"Bearer {KEY}"}
CHANGELOG = "-sessions-changelog"


class OddShop:
    """All services on topics of their own, on which others write as well."""

    def __init__(self, settings: ServiceSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self._clicks = 0
        self._stack = ExitStack()

    def start(self) -> None:
        """As processes, each with what is on its topics read."""
        models = {
            "EDDY_MODEL_STORE": str(self.folder / "store"),
            "EDDY_RECOMMENDER_MODELS": str(self.folder / "m"),
        }
        admin = {"EDDY_ADMIN_KEY": ADMIN_KEY}

        def service(name: str, more: dict[str, str]) -> RunningService:
            log = self.folder / name
            return self._stack.enter_context(
                run_service(name, self.settings, log, environment=more, until="/healthz")
            )

        self.ingest = service("ingest", admin)
        self.processor = service("session_processor", {})
        self.recommender = service("recommender", models | admin)
        self.embedder = self._stack.enter_context(run_embedder(self.settings, self.folder / "embedder"))
        for each in (self.ingest, self.processor, self.recommender):
            each.wait_for("/readyz")

    def kill(self) -> None:
        """kill -9."""
        self._stack.close()

    @staticmethod
    def odd(topic: Topic) -> list[odd_bytes.Odd]:
        """What is put on a topic; a compacted one takes no message without a key."""
        return [
            each for each in odd_bytes.messages(topic) if each[0] is not None or topic.cleanup == "delete"
        ]

    def spoil(self) -> None:
        """Puts odd bytes on every topic, and on the changelog of the session processors' table."""
        producer = Producer(producer_config(self.settings, linger_ms=5, timeout_ms=10_000))
        for topic in TOPICS:
            for key, value, headers in self.odd(topic):
                said: Headers = [*headers]
                producer.produce(self.settings.topic(topic), value, key, headers=said)
        listed = AdminClient({"bootstrap.servers": self.settings.kafka_bootstrap}).list_topics(timeout=10)
        [changelog] = [
            name for name in listed.topics
            if name.startswith(self.settings.topic_prefix) and name.endswith(CHANGELOG)
        ]  # fmt: skip
        for key, value, _ in self.odd(SESSIONS):
            producer.produce(changelog, value, key)
        assert producer.flush(30) == 0
        for topic in TOPICS:
            key, value = odd_bytes.good(topic)
            asyncio.run(odd_bytes.send_latin_1_header(self.settings, self.settings.topic(topic), key, value))

    def works(self) -> None:
        """A new product is embedded, a click on it is folded and leads to a row, its visitor is forgotten."""
        self._clicks += 1
        product, visitor = f"boot-{self._clicks}", f"visitor-{self._clicks}"
        put(self.settings, boot(product))
        wait_until(lambda: self.recommender.http.get(f"/v1/products/{product}/similar").raise_for_status())
        event = {
            "event_id": f"00000000-0000-4000-8000-{self._clicks:012d}",
            "type": "view_item", "visitor_id": visitor, "product_id": product,
            "occurred_at": 1_700_000_000_000,
        }  # fmt: skip
        self.ingest.http.post("/v1/events", json={"events": [event]}, headers=BY_KEY).raise_for_status()

        def check_shown() -> None:
            answer = self.recommender.http.get(
                "/v1/recommendations", params={"visitor_id": visitor}, headers=BY_KEY
            )
            row = answer.raise_for_status().json()
            # Where the processor learns of the product after the click, its vector joins without a cause.
            assert row.get("caused_by") == event["event_id"] or row.get("fallback") != "new_visitor", row

        wait_until(check_shown)
        by_admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self.ingest.http.delete(f"/v1/visitors/{visitor}", headers=by_admin).raise_for_status()

        def check_forgotten() -> None:
            last = [each for each in read_topic(self.settings, SESSIONS) if each.key() == visitor.encode()][
                -1
            ]
            assert last.value() is None
            assert dict(headers_of(last))[sessions.EVENTS_REMOVED] == b"1"

        wait_until(check_forgotten)

    def unreadable(self, service: RunningService | None, topic: str) -> float:
        """How many messages of a topic a service has left out."""
        url = service.url if service else self.embedder.url
        name = "_unreadable_total{"
        lines = [
            each
            for each in httpx.get(f"{url}/metrics").text.splitlines()
            if name in each and f'"{topic}"' in each
        ]
        return sum(float(each.rpartition(" ")[2]) for each in lines)


@pytest.fixture(scope="module")
def shop(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddShop]:
    shop = OddShop(create_topics(broker), tmp_path_factory.mktemp("odd"))
    try:
        shop.start()
        shop.works()
        shop.spoil()
        yield shop
    finally:
        shop.kill()


def test_every_service_goes_on_and_starts_again(shop: OddShop) -> None:
    shop.works()
    shop.kill()
    shop.start()
    shop.works()
    # What is compacted is read whole at every start, and left out whole.
    assert shop.unreadable(shop.processor, PRODUCT_VECTORS.name) == len(shop.odd(PRODUCT_VECTORS))
    assert shop.unreadable(None, PRODUCT_VECTORS.name) == len(shop.odd(PRODUCT_VECTORS))
    assert shop.unreadable(shop.recommender, PRODUCTS.name) == len(shop.odd(PRODUCTS))
    for name in ("rules", "experiments", "identities", "erasures", "models", "sessions"):
        assert shop.unreadable(shop.recommender, name) > 0, name


def test_who_owns_a_topic_writes_dead_letters_of_what_cannot_be_read(shop: OddShop) -> None:
    """The same bytes under the same key have one letter, and one more where the service that was killed
    had not said yet how far it was.
    """
    for topic, letters in ((EVENTS, EVENTS_DLQ), (PRODUCTS, PRODUCTS_DLQ)):
        found = [
            (each.key(), each.value())
            for each in read_topic(shop.settings, letters)
            if dict(headers_of(each)).get(deadletters.STAGE) == b"decode"
        ]
        expected = {
            (key and key[: deadletters.KEY_MAX], value and value[: deadletters.RAW_MAX])
            for key, value, _ in shop.odd(topic)
        }
        assert set(found) == expected
        assert max(Counter(found).values()) <= 2, Counter(found)


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "lag",
        "dlq list",
        "dlq list --by-reason --all",
        "dlq show events.dlq/0/3",
        "dlq requeue --topic products --dry-run --yes",
        "topics check",
        "models list",
        "experiment list",
        "experiment report summer",
        "product p0001 --from 7d",
        "product nobody",
        "product shoe-\udce9",  # as Python hands over an argument in Latin-1
        "visitor v",
        "visitor 01JD7Z8QX3N5R2V9W4T6Y8B1CM",
        "index check",
        "export {folder}/archive --topic events",
        "export {folder}/archive --topic events.dlq",
        "erase v --yes --wait 0",
    ],
)
def test_every_command_ends_with_words(shop: OddShop, command: str, tmp_path: Path) -> None:
    environment = settings_without_services(shop.settings, EDDY_MODEL_STORE=str(tmp_path))
    done = CliRunner().invoke(app, command.format(folder=tmp_path).split(), env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), command
    assert done.exit_code in {0, 1, 2}, done.output
    assert "No such option" not in done.output
    assert "\x1b]" not in done.output
    assert "\x07" not in done.output


def test_the_trainer_learns_from_what_is_left(shop: OddShop) -> None:
    found = topic_history.read(shop.settings, TimeRange(), ["view_item"], Silent())
    assert found.tally.bad == len(shop.odd(EVENTS))
    contents = content.read(shop.settings, Silent())
    assert contents is not None
    assert "boot-1" in contents.products
