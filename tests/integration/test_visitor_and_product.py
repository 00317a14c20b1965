"""`ops visitor` and `ops product` as processes: on a real broker, with a real recommender and without one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from infra.stack.broker import Broker
from schemas import deadletters, events, identities, products, rules
from schemas.events import Event, EventType
from schemas.identities import Identity
from schemas.rules import Rule
from schemas.topics import (
    ERASURES,
    EVENTS,
    IDENTITIES,
    MODELS,
    PRODUCTS_DLQ,
    RECOMMENDATIONS,
    RULES,
    SESSIONS,
    Topic,
)
from services.clock import now_ms
from services.kafka import ranges
from services.kafka.ranges import open_reader
from services.settings import ServiceSettings
from tests.support.kafka import TopicWriter, read_topic
from tests.support.machine import free_ports
from tests.support.operator import Json, Operator
from tests.support.patience import eventually
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import CATALOGUE, Shop, get, open_shop

MINUTE = 60_000
NOW = int(now_ms())


class Visited:
    """A shop in which something happens: what ingest and the session processor would write of it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.settings = shop.settings
        self.filling = TopicWriter(shop.settings)

    def happens(self, visitor: str, type_: EventType, product_id: str, at: int, **fields: object) -> Event:
        """An event on `events`, and the session after it on `sessions`."""
        event_id = asyncio.run(self.shop.happens(visitor, type_, product_id, at))
        made = Event(
            event_id=event_id,
            type=type_,
            visitor_id=visitor,
            occurred_at=at,
            received_at=at + 5,
            product_id=product_id,
            **fields,  # type: ignore[arg-type]
        )
        self.put(EVENTS, visitor, events.encode(made), at)
        return made

    def put(self, topic: Topic, key: str, value: bytes | None, at: int = NOW) -> None:
        """Any message; it is on the broker when this returns."""
        self.filling.raw(topic, key, value, at)
        self.filling.flush()


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Visited:
    return Visited(open_shop(broker))


@pytest.fixture(scope="module")
def recommender(shop: Visited, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("recommender") / "log"
    with run_service("recommender", shop.settings, log) as service:
        yield service


@pytest.fixture(scope="module")
def ops(shop: Visited, recommender: RunningService) -> Operator:
    """With a recommender that answers."""
    return Operator(shop.settings, {"EDDY_RECOMMENDER_URL": recommender.url})


@pytest.fixture(scope="module")
def alone(shop: Visited) -> Operator:
    """With Kafka alone."""
    [nobody] = free_ports(1)
    return Operator(shop.settings, {"EDDY_RECOMMENDER_URL": f"http://127.0.0.1:{nobody}"})


def show_row(visited: Visited, recommender: RunningService, visitor: str) -> Json:
    """A row for a visitor, which the recommender has recorded."""
    authorised = {"Authorization": f"Bearer {KEY}"}
    answer = recommender.http.get(
        "/v1/recommendations", params={"visitor_id": visitor, "k": 6, "slot": "home"}, headers=authorised
    )
    row: Json = answer.raise_for_status().json()

    async def check_recorded() -> None:
        keys = [message.key() for message in read_topic(visited.settings, RECOMMENDATIONS)]
        assert visitor.encode() in keys

    asyncio.run(eventually(check_recorded))
    return row


def knows(recommender: RunningService, visitor: str, count: int) -> None:
    """Returns when the recommender has a session of so many events."""
    authorised = {"Authorization": f"Bearer {KEY}"}

    async def check_known() -> None:
        profile = recommender.http.get(f"/v1/visitors/{visitor}/profile", headers=authorised).json()
        assert len(profile["events"]) == count

    asyncio.run(eventually(check_known))


async def test_every_producer_puts_a_key_where_it_is_looked_for(kafka: ServiceSettings) -> None:
    keys = [f"visitor-{number}-ß".encode() for number in range(200)] + [b"x"]
    java = AIOKafkaProducer(bootstrap_servers=kafka.kafka_bootstrap)  # as Faust writes sessions
    await java.start()
    for key in keys:
        await java.send(kafka.topic(SESSIONS), b"s", key=key)
    await java.stop()
    filling = TopicWriter(kafka)
    for key in keys:
        filling.raw(SESSIONS, key.decode(), b"l")
    filling.flush()
    found = read_topic(kafka, SESSIONS)
    assert len(found) == 2 * len(keys)
    assert {message.partition() for message in found} == set(range(SESSIONS.partitions))
    for message in found:
        assert message.partition() == ranges.partition_of(message.key() or b"", SESSIONS.partitions)
    with open_reader(kafka) as reader:
        assert sorted(each.value() or b"" for each in ranges.of_keys(reader, SESSIONS, [keys[7]])) == [
            b"l",
            b"s",
        ]


def test_a_visitor_is_told_from_what_it_did_to_what_it_was_shown_and_why(
    shop: Visited, recommender: RunningService, ops: Operator
) -> None:
    visitor = "anna"
    shop.happens(visitor, "view_item", "p3", NOW - 70 * MINUTE)
    shop.happens(visitor, "view_item", "p6", NOW - 10 * MINUTE)
    shop.happens(visitor, "view_item", "p1", NOW - 9 * MINUTE)
    last = shop.happens(visitor, "add_to_cart", "p9", NOW - 8 * MINUTE, list_id="shelf")
    knows(recommender, visitor, 4)
    row = show_row(shop, recommender, visitor)
    clicked = row["items"][0]["product_id"]
    click = replace(
        last,
        event_id="00000000-0000-4000-8000-000000000001",
        type="select_item",
        product_id=clicked,
        recommendation_id=row["recommendation_id"],
        occurred_at=NOW,
    )
    for _ in range(2):
        shop.put(EVENTS, visitor, events.encode(click))

    found = ops("visitor", visitor, "--events", "3", "--json").json
    told = found["events"]
    assert told["total"] == 5
    assert told["by_type"] == {"view_item": 3, "add_to_cart": 1, "select_item": 1}
    assert told["twice"] == 1
    assert [each["type"] for each in told["newest"]] == ["select_item", "add_to_cart", "view_item"]
    assert told["newest"][1]["products"] == [{"product_id": "p9", "name": "Product 9"}]

    session = found["session"]
    assert [each["product"]["product_id"] for each in session["events"]] == ["p9", "p1", "p6", "p3"]
    assert [each["events"] for each in session["visits"]] == [1, 3]
    assert session["caused_by"] == last.event_id
    shoes, lamps = session["interests"]
    assert (shoes["category"], lamps["category"]) == ("Shoes", "Lamps")
    assert shoes["because"]["product"]["name"] == "Product 9"
    assert {each["product"]["product_id"] for each in shoes["made_of"]} == {"p9", "p6", "p3"}
    assert int(shoes["nearest"][0]["product"]["product_id"][1:]) % 3 == 0
    assert shoes["sentence"].endswith("because of p9 Product 9 (added to cart)")

    shown = found["shown"]
    assert (shown["total"], shown["clicked"]) == (1, 1)
    [one] = shown["newest"]
    assert (one["slot"], one["kind"], one["clicked"]) == ("home", "for_you", [clicked])
    assert [each["product"]["product_id"] for each in one["items"]] == [
        each["product_id"] for each in row["items"]
    ]
    assert one["items"][0]["product"]["name"] == row["items"][0]["name"]
    assert one["caused_by"] == last.event_id
    assert one["because"] == "added to cart p9 Product 9"
    assert one["models"] == {"text": "of the test"}

    assert [each["category"] for each in found["profile"]["interests"]] == ["Shoes", "Lamps"]
    assert found["unasked"] == []

    text = ops.as_process("visitor", visitor).out
    for sentence in (
        shoes["sentence"], "why: added to cart p9 Product 9", "came more than once", f"clicked: {clicked}",
        "the recommender itself: 4 events of 1 browsers",
    ):  # fmt: skip
        assert sentence in text


def test_kafka_alone_is_enough_and_what_was_not_asked_is_said(shop: Visited, alone: Operator) -> None:
    shop.happens("ben", "view_item", "p2", NOW - MINUTE)
    done = alone("visitor", "ben", "--json")
    assert done.json["session"]["interests"][0]["category"] == "Tents"
    assert done.json["profile"] is None
    [sentence] = done.json["unasked"]
    assert "no recommender answers at http://127.0.0.1" in sentence
    assert "EDDY_RECOMMENDER_URL" in sentence


def test_a_key_that_the_recommender_does_not_take_is_said(shop: Visited, recommender: RunningService) -> None:
    shop.happens("ben", "view_item", "p5", NOW - MINUTE)
    other = Operator(
        shop.settings, {"EDDY_RECOMMENDER_URL": recommender.url, "EDDY_API_KEY": "some other key, as long"}
    )
    [sentence] = other("visitor", "ben", "--json").json["unasked"]
    assert "does not take the API key: set EDDY_API_KEY" in sentence


def test_of_an_erased_visitor_only_what_came_after_is_shown(shop: Visited, alone: Operator) -> None:
    visitor, erased_at = "carla", NOW - 30 * MINUTE
    shop.happens(visitor, "view_item", "p3", erased_at - MINUTE)
    after = shop.happens(visitor, "view_item", "p6", erased_at + MINUTE)
    shop.filling.erasure(visitor, erased_at)
    shop.put(EVENTS, visitor, b"rubbish")
    found = alone("visitor", visitor, "--json").json
    assert found["erased_until"] == erased_at
    assert [each["event_id"] for each in found["events"]["newest"]] == [after.event_id]
    assert (found["events"]["erased"], found["events"]["unreadable"]) == (1, 1)
    assert found["session"] is None
    assert "still lies a session of before the erasure" in found["unasked"][0]
    text = alone("visitor", visitor).out
    assert "erased: what came up to" in text
    assert "p3" not in text
    shop.put(ERASURES, visitor, None)  # taken back
    assert alone("visitor", visitor, "--json").json["events"]["total"] == 2


def test_a_visitor_who_is_a_user_is_told_with_the_others_of_that_person(
    shop: Visited, alone: Operator
) -> None:
    for visitor in ("dora-phone", "dora-laptop"):
        identity = Identity(visitor_id=visitor, user_id="dora", occurred_at=NOW - MINUTE)
        shop.put(IDENTITIES, visitor, identities.encode(identity))
    shop.happens("dora-laptop", "view_item", "p4", NOW - MINUTE)
    found = alone("visitor", "dora-phone", "--json").json
    assert (found["user_id"], found["user_since"]) == ("dora", NOW - MINUTE)
    assert {each["visitor_id"]: each["events"] for each in found["person"]} == {
        "dora-laptop": 1,
        "user:dora": 0,
    }
    assert "the same person: dora-laptop (1 events remembered" in alone("visitor", "dora-phone").out
    assert "but a user of that id: look at user:dora" in alone("visitor", "dora", status=1).err


def test_a_range_leaves_out_what_is_older(shop: Visited, alone: Operator) -> None:
    shop.happens("emil", "view_item", "p4", NOW - 50 * 60 * MINUTE)
    shop.happens("emil", "view_item", "p7", NOW - MINUTE)
    assert alone("visitor", "emil", "--from", "1d", "--json").json["events"]["total"] == 1
    assert alone("visitor", "emil", "--from", "3d", "--json").json["events"]["total"] == 2
    assert alone("visitor", "emil", "--from", "3d", "--to", "1d", "--json").json["events"]["total"] == 1


def test_what_cannot_be_told_ends_with_a_sentence(shop: Visited, alone: Operator) -> None:
    for arguments, status, sentence in [
        (("visitor", "nobody"), 1, "nothing is known of a visitor nobody"),
        (("visitor", "no body"), 2, "can be no visitor's id"),
        (("visitor", "anna", "--from", "yesterday"), 2, "--from takes a date"),
        (("product", "q17"), 1, "nearest ids: "),
        (("product", "xxxx"), 1, "there is no product 'xxxx' among"),
        (("product", ""), 2, "1 to 128 characters"),
    ]:
        done = alone(*arguments, status=status)
        assert sentence in done.err
        assert "Traceback" not in done.err
        assert not done.out
    assert "p17" in alone("product", "q17", status=1).err


def test_a_product_is_told_with_vectors_neighbours_and_what_happened(
    shop: Visited, recommender: RunningService, ops: Operator
) -> None:
    for visitor, type_ in (("fred", "view_item"), ("gina", "view_item"), ("gina", "purchase")):
        shop.happens(visitor, type_, "p30", NOW - MINUTE)  # type: ignore[arg-type]
    shop.put(
        RULES, "summer", rules.encode(Rule(rule_id="summer", action="boost", brands=("Brand 2",), factor=3.0))
    )
    found = ops("product", "p30", "--json").json
    assert found["product"]["name"] == "Product 30"
    assert found["state"] == "embedded as it is"
    assert all(each["is_there"] for each in found["vectors"]["segments"])
    assert found["vectors"]["models"] == {"text": "of the test"}
    assert [(each["rule_id"], each["by"], each["holds_now"]) for each in found["rules"]] == [
        ("summer", ["brand Brand 2"], True)
    ]
    assert {int(each["product_id"][1:]) % 3 for each in found["nearest"]} == {0}
    assert found["events"]["by_type"] == {"view_item": 2, "purchase": 1}
    assert (found["events"]["visitors"], found["events"]["clicks_on_rows"]) == (2, 0)
    assert found["recommender"]["has_it"]
    row = get(recommender, "/v1/products/p30/similar", k=5)
    assert [each["product_id"] for each in found["recommender"]["similar"]] == [
        each["product_id"] for each in row["items"]
    ]
    text = ops.as_process("product", "p30", "--no-events").out
    for sentence in ("rule summer: boosted × 3.0", "nearest by content", "the recommender has it (in_stock)"):
        assert sentence in text
    assert "events from" not in text


def test_a_product_that_waits_says_what_differs_and_why(shop: Visited, alone: Operator) -> None:
    changed = replace(CATALOGUE[31], price=99.5, updated_at=NOW)
    asyncio.run(shop.shop.put(changed))
    headers = deadletters.headers(
        reason="the picture's host did not deliver it",
        service="embedder",
        stage="picture",
        source="products/1/7",
        failed_at=NOW,
    )
    asyncio.run(shop.shop._send(PRODUCTS_DLQ.name, [("p31", products.encode(changed), [*headers])]))
    found = alone("product", "p31", "--json").json
    assert found["state"].startswith("waiting to be embedded anew since")
    assert [(each["field"], each["embedded"], each["now"]) for each in found["differences"]] == [
        ("price", 41.0, 99.5)
    ]
    [letter] = found["dead_letters"]
    assert (letter["reason"], letter["stage"]) == ("the picture's host did not deliver it", "picture")
    text = alone("product", "p31", "--no-events").out
    assert "differs: price: embedded 41.0, now 99.5" in text
    assert "the picture's host did not deliver it" in text


def test_a_product_that_is_gone_is_told_and_ends_with_1(
    shop: Visited, recommender: RunningService, ops: Operator
) -> None:
    asyncio.run(shop.shop.delete("p32"))

    async def check_gone() -> None:
        assert not get(recommender, "/v1/products", product_id="p32")["items"]

    asyncio.run(eventually(check_gone))
    done = ops("product", "p32", "--no-events", "--json", status=1)
    assert done.json["gone_at"] is not None
    assert done.json["state"].endswith("its vectors are still there: the embedder is behind")
    assert not done.json["recommender"]["has_it"]
    assert "the shop does not have p32" in done.err


def test_a_product_of_which_only_a_dead_letter_is_left_is_told(shop: Visited, alone: Operator) -> None:
    headers = deadletters.headers(
        reason="Expected `float`", service="embedder", stage="decode", source="products/0/1", failed_at=NOW
    )
    asyncio.run(shop.shop._send(PRODUCTS_DLQ.name, [("never", b"{}", [*headers])]))
    done = alone("product", "never", "--no-events", status=1)
    assert "Expected `float`" in done.out


def test_looking_writes_nothing(shop: Visited, alone: Operator) -> None:
    before = {topic.name: len(read_topic(shop.settings, topic)) for topic in (EVENTS, SESSIONS, MODELS)}
    alone("product", "p1", "--no-events")
    assert "! no recommender answers" in alone("visitor", "ben").out
    assert before == {
        topic.name: len(read_topic(shop.settings, topic)) for topic in (EVENTS, SESSIONS, MODELS)
    }


def test_a_killed_command_leaves_nothing_and_a_signal_ends_it_cleanly(shop: Visited, tmp_path: Path) -> None:
    filling = TopicWriter(shop.settings)
    for number in range(60_000):
        filling.event("p50", visitor=f"many-{number % 500}", at=NOW - MINUTE)
    filling.flush()
    work = tmp_path / "work"
    process = Operator(shop.settings, {"EDDY_OPS_DATADIR": str(work)}).start("product", "p50")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("looking through events"):
            break
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert process.returncode in (0, 143), out + err
    assert "Traceback" not in err
    assert not work.exists()
