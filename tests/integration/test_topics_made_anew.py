"""Topics that are deleted and made again, or get more partitions, under whoever reads them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import Message, Producer

from infra.stack.broker import Broker
from schemas.topics import EVENTS, PRODUCT_VECTORS, PRODUCTS, RULES, SESSIONS, Topic
from services.kafka.admin import KafkaAdmin, create
from services.kafka.clients import BATCH, TopicReader, client_config, producer_config
from services.settings import ServiceSettings
from tests.support.kafka import delete_topics, forget_records, make_anew
from tests.support.patience import wait_until
from tests.support.services import RunningService, run_service
from tests.support.session_topics import SessionTopics, newest_in_table, view
from tests.support.shop import CATALOGUE, COUNT, FOR_YOU, get, ids, open_shop, product


def send(settings: ServiceSettings, topic: Topic, sent: dict[str, str]) -> None:
    producer = Producer(producer_config(settings, linger_ms=0, timeout_ms=10_000))
    for key, value in sent.items():
        producer.produce(settings.topic(topic), value or None, key.encode())
    assert producer.flush(10) == 0


class Replica:
    """What a reader has been handed, as its consumers keep it: the newest of each key."""

    def __init__(
        self, settings: ServiceSettings, *, aged: bool = False, resumed: "Replica | None" = None
    ) -> None:
        self.held: dict[str, str] = dict(resumed.held) if resumed else {}
        self.taken = 0
        self._aged = aged
        self.failures: list[BaseException] = []
        self.reader = TopicReader(
            client_config(settings),
            [settings.topic(RULES), settings.topic(PRODUCTS)],
            self._take,
            self.failures.append,
            outdates=aged,
        )
        if resumed is not None:
            topic_of = {"p": PRODUCTS, "q": PRODUCTS}
            keys = [(settings.topic(topic_of.get(key, RULES)), key.encode()) for key in self.held]
            self.reader.resume(resumed.reader.positions, keys)

    def _take(self, messages: list[Message]) -> None:
        self.taken += len(messages)
        for message in messages:
            key, value = (message.key() or b"").decode(), message.value()
            if value is None:
                self.held.pop(key, None)
            elif not self._aged or value.decode() >= self.held.get(key, ""):
                self.held[key] = value.decode()

    def shows(self, **expected: str) -> None:
        """Waits until it holds that and says that it is caught up."""

        def as_expected() -> None:
            assert self.reader.caught_up
            assert self.held == expected

        wait_until(as_expected)


@contextmanager
def reading(
    settings: ServiceSettings, *, aged: bool = False, resumed: Replica | None = None
) -> Iterator[Replica]:
    replica = Replica(settings, aged=aged, resumed=resumed)
    replica.reader.start()
    try:
        yield replica
    finally:
        replica.reader.stop()
    assert not replica.failures


@pytest.mark.parametrize("aged", [False, True])
def test_what_is_gone_is_gone_and_what_is_older_counts(kafka: ServiceSettings, aged: bool) -> None:
    send(kafka, RULES, {"a": "5", "b": "5", "c": "5"})
    send(kafka, PRODUCTS, {"p": "5", "q": "5"})
    with reading(kafka, aged=aged) as replica:
        replica.shows(a="5", b="5", c="5", p="5", q="5")
        make_anew(kafka, RULES)
        send(kafka, RULES, {"a": "4", "d": "1"})
        replica.shows(a="4", d="1", p="5", q="5")
        send(kafka, RULES, {"a": "6", "d": ""})
        replica.shows(a="6", p="5", q="5")


def test_who_waits_for_a_reader_that_is_stopped_waits_no_longer(kafka: ServiceSettings) -> None:
    """A service that is ended while it reads a large topic would not end before it is killed."""
    send(kafka, RULES, {f"rule-{number}": "1" for number in range(4 * BATCH)})
    taking, go_on = Event(), Event()

    def take(_messages: list[Message]) -> None:
        taking.set()
        go_on.wait(30)

    reader = TopicReader(client_config(kafka), [kafka.topic(RULES)], take, lambda _error: None)
    reader.start()
    waiting = Thread(target=reader.wait_until_caught_up, daemon=True)
    waiting.start()
    assert taking.wait(30)
    stopping = Thread(target=reader.stop, daemon=True)
    stopping.start()
    go_on.set()
    stopping.join(30)
    waiting.join(10)
    assert not stopping.is_alive()
    assert not waiting.is_alive()


def test_a_reader_goes_on_where_another_has_been(kafka: ServiceSettings) -> None:
    send(kafka, RULES, {"a": "1", "b": "1"})
    with reading(kafka) as first:
        first.shows(a="1", b="1")
    with reading(kafka, resumed=first) as second:
        second.shows(a="1", b="1")
        assert second.taken == 0
        send(kafka, PRODUCTS, {"p": "1"})
        second.shows(a="1", b="1", p="1")
    send(kafka, RULES, {"a": "2", "b": ""})
    with reading(kafka, resumed=second) as third:
        third.shows(a="2", p="1")
        assert third.taken == 2


@pytest.mark.parametrize("aged", [False, True])
def test_a_reader_that_goes_on_with_another_topic_reads_all_of_it(kafka: ServiceSettings, aged: bool) -> None:
    send(kafka, RULES, {"a": "5", "b": "5"})
    send(kafka, PRODUCTS, {"p": "5"})
    with reading(kafka, aged=aged) as first:
        first.shows(a="5", b="5", p="5")
    make_anew(kafka, RULES)
    send(kafka, RULES, {"a": "4"})
    with reading(kafka, aged=aged, resumed=first) as second:
        second.shows(a="4", p="5")


def test_a_reader_that_goes_on_where_records_are_gone_reads_all_that_is_left(kafka: ServiceSettings) -> None:
    send(kafka, RULES, {"a": "1", "b": "1"})
    with reading(kafka) as first:
        first.shows(a="1", b="1")
    send(kafka, RULES, {"a": "2", "c": "2"})
    forget_records(kafka, RULES)
    send(kafka, RULES, {"d": "3"})
    with reading(kafka, resumed=first) as second:
        second.shows(d="3")


def test_the_marks_of_transactions_behind_what_was_read_are_not_waited_for(kafka: ServiceSettings) -> None:
    config = client_config(kafka) | {"transactional.id": uuid4().hex}
    producer = Producer(config)
    producer.init_transactions(20)
    for key in ("a", "b"):
        producer.begin_transaction()
        producer.produce(kafka.topic(RULES), "1", key)
        producer.commit_transaction(20)
    with reading(kafka) as first:
        first.shows(a="1", b="1")
    with reading(kafka, resumed=first) as second:
        second.shows(a="1", b="1")


def test_a_topic_that_is_gone_is_missed_until_it_is_there_again(kafka: ServiceSettings) -> None:
    send(kafka, RULES, {"a": "1"})
    with reading(kafka) as replica:
        replica.shows(a="1")
        delete_topics(kafka, RULES)

        def check_missed() -> None:
            assert not replica.reader.caught_up

        wait_until(check_missed)
        assert replica.held == {"a": "1"}
        create(kafka)
        replica.shows()  # an empty topic holds nothing


def test_partitions_that_are_added_are_read(kafka: ServiceSettings) -> None:
    send(kafka, RULES, {"a": "1"})
    with reading(kafka) as replica:
        replica.shows(a="1")
        KafkaAdmin(kafka).add_partitions(kafka.topic(RULES), 5)
        more = {f"k{number}": "2" for number in range(40)}
        send(kafka, RULES, more)  # the producer is a new one, and knows them all
        replica.shows(a="1", **more)


def waits(service: RunningService, for_: str) -> None:
    def not_ready() -> None:
        answer = service.http.get("/readyz")
        assert answer.status_code == 503
        assert for_ in answer.json()["waiting_for"]

    wait_until(not_ready)


async def test_a_recommender_shows_what_the_new_topics_hold_and_is_not_ready_meanwhile(
    broker: Broker, tmp_path: Path, visitor: str
) -> None:
    shop = await asyncio.to_thread(open_shop, broker)
    with run_service("recommender", shop.settings, tmp_path / "log") as recommender:
        async with shop.live(recommender, visitor, FOR_YOU) as live:
            await live.next()
            message = await live.push_of(await shop.look_at(visitor, "p4"))
            assert {item["source"] for item in message["items"]} == {"content"}
            await asyncio.to_thread(delete_topics, shop.settings, PRODUCTS, PRODUCT_VECTORS, SESSIONS)
            await asyncio.to_thread(waits, recommender, "made anew")
            await asyncio.to_thread(create, shop.settings)
            kept = [msgspec.structs.replace(each, updated_at=0) for each in CATALOGUE[:9]]  # a backup
            await shop.put(*kept, product(COUNT))
            await shop.put_vectors(*range(9), COUNT)

            def ready() -> None:
                assert get(recommender, "/readyz") == {"status": "ready", "products": 10}

            await asyncio.to_thread(wait_until, ready)
            shown = get(recommender, "/v1/popular?k=50")
            assert sorted(ids(shown)) == sorted([*(each.product_id for each in kept), f"p{COUNT}"])
            # Nobody's session is on the new topic: the page that is open shows what a new visitor is shown.
            while {item["source"] for item in message["items"]} != {"popular"}:
                message = await live.next()
            message = await live.push_of(await shop.look_at(visitor, "p4"))
            assert set(ids(message)) <= {*(each.product_id for each in kept), f"p{COUNT}"}


def test_a_worker_whose_events_are_made_anew_ends_and_the_next_reads_all_of_them(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    topics = SessionTopics(kafka)
    topics.put_product(1)
    old, new = view("v", 1, 1), [view("v", at, 1) for at in range(2, 5)]
    log = tmp_path / "log"
    with run_service("session_processor", kafka, log) as worker:
        topics.send_events(old)

        def check_folded() -> None:
            assert topics.read_published("v")[-1].value() == topics.offline([old])

        wait_until(check_folded)
        delete_topics(kafka, EVENTS)
        waits(worker, "events, which is gone")
        create(kafka)
        SessionTopics(kafka).send_events(*new)
        assert worker.process.wait(timeout=30) == 70
    assert "the topic" in log.read_text()
    assert "is another one" in log.read_text()
    with run_service("session_processor", kafka, log):

        def all_are_folded() -> None:
            assert topics.read_published("v")[-1].value() == topics.offline([old, *new])

        wait_until(all_are_folded)


def test_events_that_get_more_partitions_are_all_read(kafka: ServiceSettings, tmp_path: Path) -> None:
    topics = SessionTopics(kafka)
    topics.put_product(1)
    before = {f"v{number}": view(f"v{number}", 1, 1) for number in range(30)}
    after = {visitor: view(visitor, 2, 1) for visitor in before}

    def check_folded(*rounds: dict[str, object]) -> None:
        for visitor in before:
            sent = [each[visitor] for each in rounds]
            assert topics.read_published(visitor)[-1].value() == topics.offline(sent), visitor  # type: ignore[arg-type]

    with run_service("session_processor", kafka, tmp_path / "log") as worker:
        topics.send_events(*before.values())
        wait_until(lambda: check_folded(dict(before)))
        KafkaAdmin(kafka).add_partitions(kafka.topic(EVENTS), EVENTS.partitions + 4)
        assert worker.process.wait(timeout=30) == 70
    SessionTopics(kafka).send_events(*after.values())
    with run_service("session_processor", kafka, tmp_path / "log"):
        wait_until(lambda: check_folded(dict(before), dict(after)))
    # A new group reads all of it: what was written before lies where its keys belonged then.
    group = {"EDDY_SESSION_PROCESSOR_GROUP": "anew"}
    with run_service("session_processor", kafka, tmp_path / "log", environment=group) as worker:

        def check_folded_anew() -> None:
            newest = newest_in_table(kafka, "anew")
            for visitor, event in before.items():
                assert newest[visitor] == topics.offline([event, after[visitor]])

        wait_until(check_folded_anew)
        assert 'events_total{outcome="moved"}' in worker.metrics()
    assert topics.dead_letters(b"") == []
