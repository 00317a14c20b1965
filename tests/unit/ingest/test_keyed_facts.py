"""What a compacted topic tells of its keys: the newest fact counts, whatever order it is read in."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import identities, products
from schemas.identities import Identity
from schemas.products import Product
from schemas.times import DELETED_AT
from schemas.topics import PRODUCTS, TOPICS
from services.ingest.keyed_facts import OF_IDENTITIES, OF_PRODUCTS, KeyedFacts, deletion
from services.kafka.clients import Gone

NOW = 1_732_406_400_000
YEAR_2099 = 4_070_908_800_000


@dataclass
class Lying:
    """A message as a reader gets it."""

    raw: bytes | None
    sent_at: int = NOW
    named: str = "p1"
    told: list[tuple[str, bytes | None]] = field(default_factory=list)

    def topic(self) -> str:
        return PRODUCTS.name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def key(self) -> bytes:
        return self.named.encode()

    def value(self) -> bytes | None:
        return self.raw

    def timestamp(self) -> tuple[int, int]:
        return 1, self.sent_at

    def headers(self) -> object:
        return self.told


def boot(updated_at: int, product_id: str = "p1") -> bytes:
    product = Product(
        product_id=product_id,
        name="Boot",
        price=1,
        currency="EUR",
        availability="in_stock",
        updated_at=updated_at,
    )
    return products.encode(product)


def lie_deleted(at: int) -> Lying:
    return Lying(None, told=[(DELETED_AT, str(at).encode())])


def facts(*messages: Lying) -> KeyedFacts:
    found = KeyedFacts(OF_PRODUCTS)
    for message in messages:
        found.take(message)
    return found


def test_what_is_older_is_outdated_and_what_is_of_the_same_moment_is_not() -> None:
    known = facts(Lying(boot(NOW)))
    reason = known.reason_to_ignore(b"p1", (NOW - 1, "", False))
    assert reason == "older than what is there, which is of 2024-11-24 00:00:00+00:00"
    assert known.reason_to_ignore(b"p1", (NOW, "", False)) is None
    assert known.reason_to_ignore(b"p2", (0, "", False)) is None


def test_a_deletion_is_a_fact_with_a_time() -> None:
    known = facts(Lying(boot(NOW - 5)), lie_deleted(NOW))
    assert known.reason_to_ignore(b"p1", (NOW - 1, "", False))
    assert known.reason_to_ignore(b"p1", (NOW + 1, "", False)) is None


@pytest.mark.parametrize("told", [[], [(DELETED_AT, b"soon")], [(DELETED_AT, None)], [(DELETED_AT, b"nan")]])
def test_a_tombstone_without_a_time_deletes_what_lay_there(told: list[tuple[str, bytes | None]]) -> None:
    """As other producers write it; the product's clock may have been ahead."""
    known = facts(Lying(boot(NOW + 60_000)), Lying(None, told=told))
    assert known.pop_disorder() == set()
    assert known.reason_to_ignore(b"p1", (NOW + 59_999, "", False))
    assert facts(Lying(None, NOW, told=told)).newest(b"p1") == (NOW, "", False)


def test_times_ahead_of_their_message_are_of_when_that_was_sent() -> None:
    """Else nobody could change or put back the product until 2099."""
    known = facts(Lying(boot(YEAR_2099)))
    assert known.newest(b"p1") == (NOW, "", False)
    known.take(lie_deleted(YEAR_2099))
    assert known.newest(b"p1") == (NOW, "", False)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"product_id": "p1"}', boot(NOW, "another")])
def test_what_cannot_be_read_or_is_anothers_says_nothing(raw: bytes) -> None:
    assert facts(Lying(raw)).newest(b"p1") is None


def test_an_erasure_includes_its_own_moment() -> None:
    known = KeyedFacts(OF_IDENTITIES)
    identity = Identity(visitor_id="v1", user_id="u1", occurred_at=NOW)
    known.take(Lying(identities.encode(identity), named="v1"))
    known.take(Lying(None, named="v1"))
    assert known.reason_to_ignore(b"v1", (NOW, "u1", False))
    assert known.reason_to_ignore(b"v1", (NOW + 1, "u1", False)) is None


def test_an_older_fact_behind_a_newer_one_is_told_once() -> None:
    known = facts(Lying(boot(NOW)), Lying(boot(NOW - 1)))
    assert known.pop_disorder() == {b"p1"}
    assert known.pop_disorder() == set()
    known.correct({}, again=[b"p1"])
    assert known.pop_disorder() == {b"p1"}


messages = st.lists(st.builds(lambda at, is_gone: lie_deleted(at) if is_gone else Lying(boot(at)),
                              st.integers(NOW - 5, NOW), st.booleans()), max_size=8)  # fmt: skip


@given(messages)
def test_the_newest_is_known_and_disorder_is_seen_where_another_one_lies_last(lying: list[Lying]) -> None:
    known = facts(*lying)
    times = [
        int(dict(each.told).get(DELETED_AT) or b"0")
        if each.raw is None
        else msgspec.json.decode(each.raw)["updated_at"]
        for each in lying
    ]
    assert known.newest(b"p1") == ((max(times), "", False) if times else None)
    assert known.pop_disorder() == ({b"p1"} if times and times[-1] < max(times) else set())


def test_two_writers_of_a_key_take_turns_and_others_do_not_wait() -> None:
    known = KeyedFacts(OF_PRODUCTS)
    order: list[str] = []

    async def write(name: str, key: bytes, release: asyncio.Event | None = None) -> None:
        async with known.writing({key}):
            order.append(f"{name} looks")
            if release is not None:
                await release.wait()
            order.append(f"{name} wrote")

    async def run() -> None:
        release = asyncio.Event()
        first = asyncio.create_task(write("first", b"p1", release))
        await asyncio.sleep(0)
        second = asyncio.create_task(write("second", b"p1"))
        await write("other", b"p2")
        release.set()
        await asyncio.gather(first, second)

    asyncio.run(run())
    assert order == [
        "first looks",
        "other looks",
        "other wrote",
        "first wrote",
        "second looks",
        "second wrote",
    ]


def test_a_deletion_as_ingest_writes_it_is_read_back() -> None:
    key, value, headers = deletion(b"p1", NOW)
    told: list[tuple[str, bytes | None]] = [(name, str(each).encode()) for name, each in headers]
    assert (key, value, facts(Lying(None, told=told)).newest(b"p1")) == (b"p1", None, (NOW, "", False))


def test_tombstones_of_every_keyed_fact_outlive_backups() -> None:
    """Kafka's default is a day: after it a product that was deleted would come back with any older file."""
    for topic in TOPICS:
        if topic.cleanup == "compact":
            assert int(topic.config()["delete.retention.ms"]) >= 10 * 365 * 24 * 3600 * 1000


def test_a_topic_that_was_made_anew_knows_nothing_of_before() -> None:
    known = facts(Lying(boot(NOW)))
    known.take(Gone(b"p1", PRODUCTS.name))
    assert known.newest(b"p1") is None
    assert known.list_keys() == []
