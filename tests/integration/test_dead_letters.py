"""`dlq list|show|requeue|drop` on a real broker, with a real ingest and a real session processor."""

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import Message
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from typer.testing import CliRunner

from infra.stack.broker import Broker
from schemas import deadletters, erasures, events, identities, products
from schemas.deadletters import Frame, Headers
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.identities import Identity
from schemas.products import Product
from schemas.times import DAY_MS
from schemas.topics import ERASURES, EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS, PRODUCTS_DLQ, SESSIONS, Topic
from services.kafka.ranges import RangeReader, open_reader
from services.kafka.writer import open_writer
from services.ops.dead_letters.command import app
from services.settings import ServiceSettings
from tests.support.kafka import create_topics, read_topic
from tests.support.launcher import start_module
from tests.support.patience import wait_until
from tests.support.services import KEY, RunningService, run_service
from tests.support.session_topics import SessionTopics, view

WRITE_KEY = "the write key of the tests"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def topics(broker: Broker) -> SessionTopics:
    settings = create_topics(broker)
    found = SessionTopics(settings)
    for number in range(3):
        found.put_product(number)
    return found


@pytest.fixture(scope="module")
def ingest(topics: SessionTopics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    keys = {"EDDY_WRITE_KEY": WRITE_KEY}
    log = tmp_path_factory.mktemp("ingest") / "log"
    with run_service("ingest", topics.settings, log, environment=keys) as service:
        yield service


@pytest.fixture(scope="module")
def worker(topics: SessionTopics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(
        "session_processor", topics.settings, tmp_path_factory.mktemp("worker") / "log"
    ) as service:
        yield service


class Desk:
    """An operator at the command line, and what it changes on the topics."""

    def __init__(self, settings: ServiceSettings, ingest: RunningService) -> None:
        self.settings = settings
        self.variables = {
            "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "EDDY_TOPIC_PREFIX": settings.topic_prefix,
            "EDDY_INGEST_URL": ingest.url,
            "EDDY_API_KEY": KEY,
        }

    def run(self, *words: str, status: int = 0) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"], env=self.variables)
        assert done.exit_code == status, (done.output, done.exception)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def list_letters(self, about: str, *words: str) -> list[Json]:
        """The letters about a visitor or product."""
        return [each for each in self.run("list", *words)["letters"] if each["about"] == about]

    def one(self, about: str) -> Json:
        """The one open letter about a visitor or product, once it is there."""
        found: list[Json] = []

        def there() -> None:
            found[:] = self.list_letters(about)
            assert len(found) == 1

        wait_until(there)
        return found[0]

    def write(self, topic: Topic, *letters: tuple[bytes | None, bytes | None, Headers]) -> None:
        with open_writer(self.settings, at_once=True) as writer:
            for key, raw, headers in letters:
                writer.write(self.settings.topic(topic), key, raw, headers=[*headers])

    def on(self, topic: Topic, key: str) -> list[Message]:
        return [each for each in read_topic(self.settings, topic) if each.key() == key.encode()]


@pytest.fixture
def desk(topics: SessionTopics, ingest: RunningService) -> Desk:
    return Desk(topics.settings, ingest)


def headers_of(message: Message) -> dict[str, bytes]:
    return dict(cast("list[tuple[str, bytes]]", message.headers() or []))


def of_worker(settings: ServiceSettings, reason: str, failed_at: int = 1_700_000_000_000) -> Headers:
    """The headers of a letter of the session processor."""
    return deadletters.headers(
        reason=reason,
        service="session_processor",
        stage="decode",
        source=f"{settings.topic(EVENTS)}/3/17",
        failed_at=failed_at,
    )


def of_ingest(path: str, failed_at: int, **more: bytes) -> Headers:
    """The headers of a letter of ingest."""
    told = deadletters.headers(
        reason="refused at that time", service="ingest", stage="validate", source=path, failed_at=failed_at
    )
    return [*told, *more.items()]


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


def test_a_refused_event_is_listed_and_shown_and_stays_as_long_as_it_is_refused(
    ingest: RunningService, desk: Desk, visitor: str
) -> None:
    good = msgspec.to_builtins(view(f"{visitor}-good", 1, 1))
    bad = msgspec.to_builtins(view(visitor, 1, 1)) | {"type": "teleport"}
    answer = ingest.http.post("/v1/events", json={"events": [good, bad]})
    assert (answer.status_code, len(answer.json()["rejected"])) == (202, 1)

    letter = desk.one(visitor)
    assert (letter["service"], letter["stage"], letter["attempts"]) == ("ingest", "validate", 1)
    assert letter["outcome"] is None
    told = desk.run("show", letter["id"])
    assert json.loads(told["raw"]) == bad
    assert told["headers"]["source"] == "/v1/events"
    assert told["verdict"] == "bad"
    assert "teleport" in told["why"]

    done = desk.run("requeue", letter["id"], "--yes", status=1)
    assert (done["requeued"], done["stayed"]) == (0, {"bad": 1})
    assert "teleport" in done["letters"][0]["why"]
    assert desk.list_letters(visitor) == [letter]
    assert not desk.on(EVENTS, visitor)
    [group] = [each for each in desk.run("list", "--by-reason") if each["example"] == letter["id"]]
    assert group["reason"] == "Invalid enum value '…' - at `$.type`"


def test_a_letter_that_is_good_now_goes_into_its_session_as_it_was(
    worker: RunningService, topics: SessionTopics, desk: Desk, visitor: str
) -> None:
    event = view(visitor, 7, 1)
    raw = b" " + events.encode(event)  # as it was, not as we would write it
    reason = f"Invalid enum value 'view_item' of {visitor}"
    desk.write(EVENTS_DLQ, (visitor.encode(), raw, of_worker(desk.settings, reason)))
    letter = desk.one(visitor)
    assert desk.run("show", letter["id"])["verdict"] == "good"
    assert desk.run("requeue", "--reason", reason.upper(), "--dry-run")["requeued"] == 1
    assert desk.list_letters(visitor) == [letter]
    assert desk.run("requeue", "--reason", reason.upper(), "--yes")["requeued"] == 1
    assert desk.list_letters(visitor) == []
    assert [each["outcome"] for each in desk.list_letters(visitor, "--all")] == ["requeued"]

    [message] = desk.on(EVENTS, visitor)
    assert message.value() == raw
    assert headers_of(message) == {deadletters.ATTEMPTS: b"2"}

    def check_published() -> None:
        assert topics.read_published(visitor)[-1].value() == topics.offline([event])

    wait_until(check_published)
    assert "no open letter" in desk.run("requeue", letter["id"], "--yes", status=2)


def test_what_fails_again_on_its_topic_is_not_put_back_for_ever(
    worker: RunningService, topics: SessionTopics, desk: Desk, visitor: str
) -> None:
    poison = b"\xff{" + visitor.encode()
    topics.send(EVENTS, [(visitor.encode(), poison)])
    for attempts in (1, 2, 3):
        letter = desk.one(visitor)
        assert letter["attempts"] == attempts
        if attempts < 3:
            assert desk.run("requeue", letter["id"], "--as-is", "--yes")["requeued"] == 1
            wait_until(partial(_check_moved_on, desk, visitor, letter))
    done = desk.run("requeue", letter["id"], "--as-is", "--yes", status=1)
    assert done["stayed"] == {"often": 1}
    assert "failed 3 times" in done["letters"][0]["why"]
    assert desk.run("requeue", letter["id"], "--as-is", "--attempts-max", "4", "--dry-run")["requeued"] == 1
    assert desk.run("drop", letter["id"], "--yes")["dropped"] == 1
    assert desk.list_letters(visitor) == []
    assert [each["outcome"] for each in desk.list_letters(visitor, "--all")] == ["requeued"] * 2 + ["dropped"]


def _check_moved_on(desk: Desk, visitor: str, former: Json) -> None:
    assert [each["id"] for each in desk.list_letters(visitor)] not in ([], [former["id"]])


def test_what_ingest_refuses_again_counts_its_attempts(
    ingest: RunningService, desk: Desk, visitor: str
) -> None:
    bad = msgspec.to_builtins(view(visitor, 1, 1)) | {"type": "teleport"}
    assert ingest.http.post("/v1/events", json={"events": [bad]}).status_code == 422
    first = desk.one(visitor)
    for attempts in (2, 3):
        done = desk.run("requeue", desk.one(visitor)["id"], "--as-is", "--yes", status=1)
        assert (done["requeued"], done["refused_again"]) == (0, 1)
        letter = desk.one(visitor)
        assert letter["attempts"] == attempts
        headers = desk.run("show", letter["id"])["headers"]
        assert headers["received_at"] == str(first["failed_at"])
    done = desk.run("requeue", letter["id"], "--as-is", "--yes", status=1)
    assert done["stayed"] == {"often": 1}
    assert desk.one(visitor) == letter


def test_events_that_came_by_http_go_back_with_their_time_many_at_once(desk: Desk, visitor: str) -> None:
    yesterday = int(time.time() * 1000) - DAY_MS
    ahead = msgspec.structs.replace(view(visitor, 0, 1), occurred_at=yesterday + DAY_MS // 2)
    sent = [msgspec.structs.replace(view(visitor, at, 1), occurred_at=yesterday - at) for at in range(1200)]
    letters = [(None, events.encode(each), of_ingest("/v1/events", yesterday)) for each in (*sent, ahead)]
    desk.write(EVENTS_DLQ, *letters)
    assert desk.run("requeue", "--reason", "at that time", "--yes")["requeued"] == 1201
    found = {event.event_id: event for event in _events(desk, visitor)}
    assert len(found) == 1201
    for event in sent:
        assert found[event.event_id] == msgspec.structs.replace(event, received_at=yesterday)
    assert found[ahead.event_id].occurred_at == yesterday  # its clock was ahead then; it is set back to then


def _events(desk: Desk, visitor: str) -> list[Event]:
    return [events.decode(each.value() or b"") for each in desk.on(EVENTS, visitor)]


def test_a_segment_message_that_goes_back_a_day_later_happened_when_it_did(
    ingest: RunningService, desk: Desk, visitor: str
) -> None:
    sent_at = int(time.time() * 1000) - 7 * DAY_MS  # a device whose clock is a week behind
    message: Json = {"type": "track", "event": "Product Viewed", "anonymousId": visitor}
    message |= {"messageId": str(uuid4())}
    message |= {"timestamp": iso(sent_at - 60_000), "properties": {"product_id": "p1"}}
    context = {"page": {"path": "/p1", "title": "not read"}, "os": {"name": "not read"}, "locale": "en-GB"}
    body = {"batch": [message | {"event": None}], "sentAt": iso(sent_at), "context": context}
    shown = (WRITE_KEY, "")
    assert ingest.http.post("/v1/batch", json=body, auth=shown).json()["success"] is False
    refused = desk.one(visitor)
    frame = desk.run("show", refused["id"])["headers"]["frame"]
    kept = {"page": {"path": "/p1"}, "locale": "en-GB"}
    assert json.loads(frame) == {"sentAt": iso(sent_at), "context": kept}
    desk.run("drop", refused["id"], "--yes")

    yesterday = refused["failed_at"] - DAY_MS
    headers = of_ingest("/v1/batch", yesterday, frame=frame.encode())
    desk.write(EVENTS_DLQ, (None, msgspec.json.encode(message), headers))
    letter = desk.one(visitor)
    desk.run("requeue", letter["id"], "--yes")
    [event] = _events(desk, visitor)
    assert event.event_id == message["messageId"]
    assert event.occurred_at == yesterday - 60_000
    assert event.received_at == yesterday
    assert event.context is not None
    assert (event.context.page, event.context.locale) == ("/p1", "en-GB")


def test_a_message_without_a_name_or_time_is_one_event_however_often_it_goes_back(
    desk: Desk, visitor: str
) -> None:
    message = {"event": "Product Viewed", "anonymousId": visitor, "properties": {"product_id": "p1"}}
    raw, at = msgspec.json.encode(message), int(time.time() * 1000) - DAY_MS
    desk.write(EVENTS_DLQ, *[(None, raw, of_ingest("/v1/track", at))] * 2)
    ids = [each["id"] for each in desk.list_letters(visitor)]
    _marks_fail(desk, lambda: desk.run("requeue", *ids, "--yes", status=2))
    assert desk.run("requeue", *ids, "--yes")["requeued"] == 2
    found = _events(desk, visitor)
    assert len(found) == 4
    assert len({each.event_id for each in found}) == 2
    assert {each.occurred_at for each in found} == {at}


def test_a_join_that_goes_back_late_does_not_take_the_place_of_a_newer_one(
    topics: SessionTopics, desk: Desk, visitor: str
) -> None:
    at = int(time.time() * 1000) - DAY_MS
    newer = Identity(visitor_id=visitor, user_id="new", occurred_at=at + 1000)
    topics.send(IDENTITIES, [(visitor.encode(), identities.encode(newer))])
    login = {"anonymousId": visitor, "userId": "old", "messageId": str(uuid4()), "timestamp": iso(at)}
    unknown = f"{visitor}-unknown"
    desk.write(
        EVENTS_DLQ,
        (None, msgspec.json.encode(login), of_ingest("/v1/identify", at)),
        (None, msgspec.json.encode(login | {"anonymousId": unknown}), of_ingest("/v1/identify", at)),
    )
    desk.run("requeue", desk.one(visitor)["id"], desk.one(unknown)["id"], "--yes")
    assert [each.value() for each in desk.on(IDENTITIES, visitor)] == [identities.encode(newer)]
    assert len(desk.on(IDENTITIES, unknown)) == 1


def test_what_came_with_anothers_token_does_not_become_true_by_going_back(
    ingest: RunningService, desk: Desk, visitor: str
) -> None:
    token = ingest.http.post("/v1/visitors", json={}).json()["token"]
    forged = msgspec.to_builtins(view(visitor, 1, 1))
    assert ingest.http.post("/v1/events", params={"token": token}, json={"events": [forged]}).is_error
    letter = desk.one(visitor)
    assert letter["stage"] == "visitor"
    for as_is in ([], ["--as-is"]):
        assert desk.run("requeue", letter["id"], *as_is, "--yes", status=1)["stayed"] == {"foreign": 1}
    desk.run("drop", letter["id"], "--yes")

    # One that was refused for something else before its sender was looked at.
    sender = of_ingest("/v1/events", letter["failed_at"], sender=b"another-visitor")
    desk.write(EVENTS_DLQ, (None, msgspec.json.encode(forged), sender))
    letter = desk.one(visitor)
    assert desk.run("requeue", letter["id"], "--yes", status=1)["stayed"] == {"bad": 1}
    assert not desk.on(EVENTS, visitor)


def test_only_the_holder_of_the_api_key_says_when_something_came(ingest: RunningService, desk: Desk) -> None:
    body: Json = {"letters": []}
    assert ingest.http.post(deadletters.RETURN_PATH, json=body).status_code == 401
    wrong = {"Authorization": "Bearer not the key"}
    assert ingest.http.post(deadletters.RETURN_PATH, json=body, headers=wrong).status_code == 401
    right = {"Authorization": f"Bearer {KEY}"}
    assert ingest.http.post(deadletters.RETURN_PATH, json=body, headers=right).json() == {"letters": []}
    unreadable = ingest.http.post(deadletters.RETURN_PATH, json={"letters": [{}]}, headers=right)
    assert unreadable.status_code == 400


def test_nothing_of_an_erased_visitor_goes_back(topics: SessionTopics, desk: Desk, visitor: str) -> None:
    at = int(time.time() * 1000)
    erasure = erasures.encode(Erasure(visitor_id=visitor, erased_at=at))
    topics.send(ERASURES, [(visitor.encode(), erasure)])
    event = msgspec.structs.replace(view(visitor, 1, 1), occurred_at=at - 5)
    segment = {"event": "Product Viewed", "anonymousId": visitor, "properties": {"product_id": "p1"}}
    later = view(f"{visitor}-other", 1, 1)
    desk.write(
        EVENTS_DLQ,
        (visitor.encode(), events.encode(event), of_worker(desk.settings, visitor, at - 1)),
        (None, b"\xff {" + visitor.encode(), of_worker(desk.settings, visitor, at - 1)),
        (None, msgspec.json.encode(segment), of_ingest("/v1/track", at - 1)),
        (None, events.encode(later), of_worker(desk.settings, visitor, at + 1)),
    )
    ids = [f"events.dlq/0/{number}" for number in _last_offsets(desk, 4)]
    shown = desk.run("list", "--reason", visitor)
    assert ([each["id"] for each in shown["letters"]], shown["erased"]) == ([ids[3]], 2)
    assert visitor not in {each["about"] for each in desk.run("list", "--all")["letters"]}
    [group] = desk.run("list", "--by-reason", "--reason", visitor)
    assert (group["count"], group["example"]) == (1, ids[3])
    for letter in ids[:3]:
        told = desk.run("show", letter, status=2)
        assert "to be forgotten" in told
        assert visitor not in told
    assert desk.run("show", ids[3])["verdict"] == "good"
    done = desk.run("requeue", *ids, "--yes", status=1)
    assert (done["requeued"], done["stayed"]) == (1, {"erased": 3})
    assert not desk.on(EVENTS, visitor)
    assert desk.run("drop", "--erased", "--yes")["dropped"] == 3
    assert not desk.list_letters(visitor)


def _last_offsets(desk: Desk, count: int) -> list[int]:
    return sorted(int(each.offset() or 0) for each in read_topic(desk.settings, EVENTS_DLQ))[-count:]


def test_a_product_goes_back_unless_it_was_overtaken(topics: SessionTopics, desk: Desk, visitor: str) -> None:
    def product(name: str, updated_at: int) -> Product:
        return Product(
            product_id=f"{visitor}/{name}",
            name=name,
            price=1.0,
            currency="EUR",
            availability="in_stock",
            updated_at=updated_at,
        )

    def under_key(each: Product) -> tuple[bytes, bytes]:
        return each.product_id.encode(), products.encode(each)

    source = f"{desk.settings.topic(PRODUCTS)}, read earlier"
    headers = deadletters.headers(
        reason="no picture", service="embedder", stage="picture", source=source, failed_at=1_700_000_000_000
    )
    fresh, newer, gone = (product(name, 5) for name in ("fresh", "newer", "gone"))
    wrong_key = product("wrong-key", 5)
    topics.send(
        PRODUCTS, [under_key(fresh), under_key(product("newer", 6)), (gone.product_id.encode(), None)]
    )
    letters = [(*under_key(each), headers) for each in (fresh, newer, gone)]
    desk.write(PRODUCTS_DLQ, *letters, (b"another key", products.encode(wrong_key), headers))
    done = desk.run("requeue", "--topic", "products", "--yes", status=1)
    assert (done["requeued"], done["stayed"]) == (2, {"superseded": 2})
    told = {each["why"] for each in done["letters"]}
    assert any("newer one lies" in each for each in told)
    assert any("deleted since" in each for each in told)
    assert [each.value() for each in desk.on(PRODUCTS, fresh.product_id)] == [products.encode(fresh)] * 2
    assert [each.value() for each in desk.on(PRODUCTS, wrong_key.product_id)] == [products.encode(wrong_key)]
    assert desk.run("drop", "--topic", "products", "--yes")["dropped"] == 2
    assert desk.run("list", "--topic", "products")["count"] == 0


def _marks_fail(desk: Desk, command: Any) -> None:
    """Runs a command while `events.dlq` takes no marks: it ends between the messages and their marks."""
    admin = AdminClient({"bootstrap.servers": desk.settings.kafka_bootstrap})

    def limit(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("max.message.bytes", "1", incremental_operation=operation)
        name = desk.settings.topic(EVENTS_DLQ)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()

    limit(AlterConfigOpType.SET)
    try:
        command()
    finally:
        limit(AlterConfigOpType.DELETE)


def test_a_run_that_ends_between_message_and_mark_is_run_again_and_changes_nothing(
    worker: RunningService, topics: SessionTopics, desk: Desk, visitor: str
) -> None:
    event = view(visitor, 3, 2)
    desk.write(EVENTS_DLQ, (visitor.encode(), events.encode(event), of_worker(desk.settings, visitor)))
    letter = desk.one(visitor)
    _marks_fail(desk, lambda: desk.run("requeue", letter["id"], "--yes", status=2))
    assert desk.one(visitor) == letter
    assert len(desk.on(EVENTS, visitor)) == 1
    assert desk.run("requeue", letter["id"], "--yes")["requeued"] == 1
    assert desk.list_letters(visitor) == []

    def check_published_twice() -> None:
        found = topics.read_published(visitor)
        assert [each.value() for each in found] == [topics.offline([event])] * 2

    wait_until(check_published_twice)


def test_a_run_that_is_killed_is_run_again_and_leaves_nothing_out(
    worker: RunningService, topics: SessionTopics, desk: Desk, visitor: str, tmp_path: Path
) -> None:
    sent = {f"{visitor}-{of}": [view(f"{visitor}-{of}", at, at % 3) for at in range(250)] for of in range(20)}
    letters = [
        (of.encode(), events.encode(sent[of][at]), of_worker(desk.settings, visitor))
        for at in range(250)
        for of in sent
    ]
    desk.write(EVENTS_DLQ, *letters)
    command = ("dlq", "requeue", "--reason", visitor, "--yes")
    with (tmp_path / "log").open("wb") as log, open_reader(desk.settings) as reader:
        before = _count_written(reader)
        process = start_module(
            "services.ops", *command, environment=os.environ | desk.variables, stdout=log, stderr=log
        )
        while process.poll() is None and _count_written(reader) == before:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    left = desk.run("list", "--reason", visitor)["count"]
    assert left > 0
    assert desk.run("requeue", "--reason", visitor, "--yes")["requeued"] == left
    assert desk.run("list", "--reason", visitor)["count"] == 0
    expected = {of.encode(): topics.offline(each) for of, each in sent.items()}

    def all_are_there() -> None:
        newest = {each.key(): each.value() for each in read_topic(topics.settings, SESSIONS)}
        for of, each in expected.items():
            assert newest[of] == each

    wait_until(all_are_there)


def _count_written(reader: RangeReader) -> int:
    """How many messages have ever been written to `events`."""
    return sum(span.end for span in reader.spans(EVENTS))


def test_nothing_is_done_where_nothing_is_named_or_ingest_is_away(desk: Desk, visitor: str) -> None:
    for command in ("requeue", "drop"):
        assert "--all-open" in desk.run(command, "--yes", status=2)
        assert "events.dlq/0/17" in desk.run(command, "17", "--yes", status=2)
        assert "dead letters lie on" in desk.run(command, "events/0/17", "--yes", status=2)
        assert "say --yes" in desk.run(command, "--all-open", status=2)
    assert "aged out" in desk.run("show", "events.dlq/0/99999999", status=2)
    desk.write(EVENTS_DLQ, (None, msgspec.json.encode({"visitor_id": visitor}), of_ingest("/v1/events", 5)))
    letter = desk.one(visitor)
    desk.variables |= {"EDDY_INGEST_URL": "http://127.0.0.1:9"}
    assert "EDDY_INGEST_URL" in desk.run("requeue", letter["id"], "--yes", status=2)
    told = desk.run("show", letter["id"])
    assert (told["verdict"], "no ingest answers" in told["why"]) == (None, True)


def test_a_frame_that_is_none_is_passed_over() -> None:
    assert deadletters.decode_frame(b"[]") is None
    assert deadletters.decode_frame(deadletters.encode_frame(Frame(sent_at="x"))) == Frame(sent_at="x")
