"""Which letters may go back: taken today, of nobody who is forgotten, not too often, not overtaken."""

from hashlib import sha256
from typing import NoReturn

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import deadletters, events, products
from schemas.events import Event
from schemas.products import Product
from schemas.topics import EVENTS_DLQ, PRODUCTS_DLQ
from schemas.unreadable import printable
from services.ops.dead_letters.letter import DeadLetter, about, find_erased_visitor, letter_of
from services.ops.dead_letters.verdicts import NewerProducts, RequeuePolicy, RequeueVerdict
from services.visitors.erasure import Erasures
from tests.support.dead_letters import AT, letter
from tests.support.messages import StoredMessage

ID = "01JD3Y6Q8W4ZB1N5T2K7M9RXCA"
EVENT = Event(event_id=ID, type="view_item", visitor_id="v1", occurred_at=AT - 9, product_id="p1")
RAW = events.encode(EVENT)


def nothing_is_read() -> NoReturn:
    raise AssertionError("no topic is to be read for this letter")


def judge_letter(of: DeadLetter, erasures: Erasures | None = None, *, as_is: bool = False) -> RequeueVerdict:
    judge = RequeuePolicy(nothing_is_read, erasures or Erasures(), attempts_max=3, as_is=as_is)
    [found] = judge.on_topic([of])
    return found


def test_an_event_that_is_one_today_goes_under_its_visitor() -> None:
    found = judge_letter(letter(RAW, key=b"somebody else"))
    assert (found.kind, found.key) == ("good", b"v1")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "tombstone"),
        (b"{", "truncated"),
        (b'{"x": ' + b"[" * 5000, "nested too deeply"),
        (msgspec.json.encode({"event_id": ID}), "type"),
        (events.encode(msgspec.structs.replace(EVENT, product_id=None)), "product_id"),
    ],
)
def test_what_is_no_event_today_stays_unless_nobody_is_to_look(raw: bytes | None, why: str) -> None:
    found = judge_letter(letter(raw, key=b"k"))
    assert found.kind == "bad"
    assert why in found.why
    found = judge_letter(letter(raw, key=b"k"), as_is=True)
    assert (found.kind, found.key) == ("good", b"k")


@pytest.mark.parametrize("as_is", [False, True])
def test_what_failed_too_often_stays_either_way(as_is: bool) -> None:
    assert judge_letter(letter(RAW, more=[("attempts", b"2")]), as_is=as_is).kind == "good"
    found = judge_letter(letter(RAW, more=[("attempts", b"3")]), as_is=as_is)
    assert found.kind == "often"
    assert "3 times" in found.why


@pytest.mark.parametrize("as_is", [False, True])
def test_an_erased_visitors_event_stays_unless_it_came_after(as_is: bool) -> None:
    assert judge_letter(letter(RAW), Erasures({"v1": AT - 9}), as_is=as_is).kind == "erased"
    assert judge_letter(letter(RAW), Erasures({"v1": AT - 10}), as_is=as_is).kind == "good"


HASHED = "hash:407024d66cde17bdcf02effc1c376cb80387f3ec"  # of "a b", which can be no visitor
SEGMENT = {"anonymousId": "a1", "userId": 17, "previousId": "old"}


@pytest.mark.parametrize(
    ("raw", "of"),
    [
        (RAW, "v1"),
        (b'{"visitor_id": "v1", ', "v1"),  # no JSON: by its words
        (msgspec.json.encode(SEGMENT), "a1"),
        (msgspec.json.encode(SEGMENT), "user:17"),
        (msgspec.json.encode(SEGMENT), "user:old"),
        (msgspec.json.encode({"batch": [{}, SEGMENT]}), "user:17"),
        (
            b'{"anonymousId": "a b"}',
            "hash:407024d66cde17bdcf02effc1c376cb80387f3ec",
        ),  # no visitor can be called so: ingest takes its hash
        (b"\xff a1", "a1"),
    ],
)
def test_an_erased_visitor_is_found_wherever_it_is_named(raw: bytes, of: str) -> None:
    assert find_erased_visitor(letter(raw), Erasures({of: AT})) == of
    assert find_erased_visitor(letter(raw), Erasures({"somebody-else": AT})) is None


def test_those_whom_only_ingest_knows_and_the_sender_count_as_named() -> None:
    assert find_erased_visitor(letter(b"{}"), Erasures({"hash:1": AT}), ["hash:1"]) == "hash:1"
    assert find_erased_visitor(letter(b"{}", more=[("sender", b"v1")]), Erasures({"v1": AT})) == "v1"


@given(st.binary(max_size=60))
def test_whatever_the_bytes_are_it_is_told_whom_they_are_about(raw: bytes) -> None:
    assert len(about(letter(raw))) <= 64
    assert find_erased_visitor(letter(raw), Erasures({"nobody": 1})) is None


def test_a_letter_is_about_its_visitor_or_product() -> None:
    assert about(letter(RAW)) == "v1"
    assert about(letter(b"{", key=b"v2")) == "v2"
    assert about(letter(msgspec.json.encode({"userId": 17}))) == "17"
    assert about(letter(b'{"product_id": "p1"}', topic=PRODUCTS_DLQ)) == "p1"


# Products

LAMP = Product(
    product_id="p1", name="Lamp", price=1, currency="EUR", availability="in_stock", updated_at=5
)  # fmt: skip


def lamp(updated_at: int, name: str = "Lamp") -> bytes:
    return products.encode(msgspec.structs.replace(LAMP, updated_at=updated_at, name=name))


def find_overtaking(
    *lying: tuple[int, bytes | None], source: str = "products/0/5", at: int = AT - 1
) -> str | None:
    """`lying`: offsets and values on partition 0 of `products`."""
    of = letter(lamp(5), key=b"p1", source=source, topic=PRODUCTS_DLQ)
    return NewerProducts(StoredMessage(b"p1", raw, offset=offset, at=at) for offset, raw in lying).of(
        of, LAMP
    )


def test_a_product_is_overtaken_by_a_newer_one_wherever_that_lies() -> None:
    assert "newer one lies" in (find_overtaking((3, lamp(6))) or "")
    assert "newer one lies" in (find_overtaking((7, lamp(6))) or "")
    assert find_overtaking((3, lamp(4)), (7, lamp(4))) is None
    assert find_overtaking() is None


def test_of_equal_times_the_later_counts_unless_it_is_the_same() -> None:
    assert "later one" in (find_overtaking((7, lamp(5, "Lamp 2"))) or "")
    assert find_overtaking((3, lamp(5, "Lamp 2"))) is None
    assert find_overtaking((5, lamp(5)), (7, lamp(5))) is None


def test_a_product_that_was_deleted_since_is_overtaken() -> None:
    assert "deleted since" in (find_overtaking((7, None)) or "")
    assert "deleted since" in (find_overtaking((7, None), (8, lamp(4))) or "")
    assert find_overtaking((3, None)) is None


def test_without_a_place_it_is_told_by_time() -> None:
    read_earlier = "products, read earlier"
    assert find_overtaking((7, None), source=read_earlier) is None
    assert "deleted since" in (find_overtaking((7, None), source=read_earlier, at=AT) or "")
    assert "deleted since" in (find_overtaking((7, None), source="products/2/9", at=AT) or "")


def test_what_is_no_product_overtakes_nothing() -> None:
    assert find_overtaking((7, b"{")) is None


@pytest.mark.parametrize("as_is", [False, True])
def test_a_letter_that_was_cut_stays_and_says_which_bytes_are_missing(as_is: bool) -> None:
    whole = RAW + b" " * 20_000
    _, raw, told = deadletters.letter(
        b"v1",
        whole,
        reason="",
        service="session_processor",
        stage="decode",
        source="events/0/1",
        failed_at=AT,
    )
    assert raw == whole[: 16 * 1024]
    found = judge_letter(letter_of(StoredMessage(b"v1", raw, [*told]), EVENTS_DLQ), as_is=as_is)
    assert found.kind == "cut"
    assert f"of its {len(whole):,} bytes" in found.why
    assert sha256(whole).hexdigest() in found.why


@given(st.binary(max_size=3), st.integers(0, 40_000), st.binary(max_size=2_000), st.text())
def test_any_letter_fits_on_its_topic(beginning: bytes, length: int, key: bytes, reason: str) -> None:
    value = beginning + b"x" * length
    kept, raw, told = deadletters.letter(
        key, value, reason=reason, service="s", stage="decode", source="events/0/1", failed_at=AT, count=7
    )
    assert len(kept or b"") + len(raw or b"") + sum(len(each) for _, each in told) < 20_000
    read = letter_of(StoredMessage(kept, raw, [*told]), EVENTS_DLQ)
    assert read.is_cut == (len(value) > deadletters.RAW_MAX)
    assert read.count == 7
    assert printable(read.reason) == read.reason
