"""A session's bytes: what its parts mean, and that sessions in the former form are still read."""

from typing import get_args
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from schemas.events import EventType
from schemas.sessions import KIND_OF, KINDS, Session, SessionEvent, decode, encode, identity

VIEW = "01JD7Z8QX3N5R2V9W4T6Y8B1CM"


def test_every_type_has_a_number_for_good() -> None:
    assert set(KINDS) == set(get_args(EventType))
    assert (KINDS[2], KINDS[7]) == ("view_item", "purchase")
    assert SessionEvent(1, b"", "p", KIND_OF["purchase"]).type == "purchase"


@given(st.uuids())
def test_a_uuid_is_its_16_bytes(uuid: UUID) -> None:
    assert identity(str(uuid)) == identity(str(uuid).upper()) == uuid.bytes


@given(st.binary(min_size=16, max_size=16))
def test_a_ulid_is_its_16_bytes(raw: bytes) -> None:
    ulid = ULID.from_bytes(raw)
    assert identity(str(ulid)) == identity(str(ulid).lower()) == raw


@given(st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26))
def test_letters_beyond_a_ulid_are_an_id_of_their_own(text: str) -> None:
    assert len(identity(text)) == (17 if text[0] > "7" else 16)
    assert int.from_bytes(identity(text)) % 32 == "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(text[-1])


@pytest.mark.parametrize("text", ["", "e1", "u" * 26, "L" * 26, "z" * 36])
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|invalid|non-hexadecimal"):
        identity(text)


def test_a_session_comes_back_as_it_was() -> None:
    events = (SessionEvent(1, identity(VIEW), "p1", 2), SessionEvent(2, uuid4().bytes, "p2", 7))
    session = Session("v", events, "int8/v1", b"\x7f", (), (1,))
    assert decode(encode(session)) == session
    assert session.missing_products == {"p2"}


def test_a_session_in_the_former_form_keeps_its_events_and_asks_for_new_vectors() -> None:
    """As it was written before: ids and types as text, vectors as float16, `missing` by product."""
    uuid = "0a000000-0000-4000-8000-00000000000f"
    former = [
        "v",
        [[5, uuid, "p1", "view_item"], [5, VIEW, "p2", "add_to_cart"]],
        "v1/text:8",
        b"\x00\x3c" * 8,
        [["Shoes", 1.0, b"\x00\x3c" * 8, 0]],
        ["p2"],
    ]
    session = decode(msgspec.msgpack.encode(former))
    events = [(each.occurred_at, each.identity, each.product_id, each.type) for each in session.events]
    assert sorted(events) == events
    assert set(events) == {
        (5, identity(uuid), "p1", "view_item"),
        (5, identity(VIEW), "p2", "add_to_cart"),
    }
    assert session.layout == ""
    assert session.vector == b""
    assert session.interests == ()
    assert decode(encode(session)) == session


def test_what_is_no_session_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.msgpack.encode(["v", [["now", 1]]]))
