"""The digest of a multiset of messages."""

import random

from hypothesis import given
from hypothesis import strategies as st

from services.archive.digest import Digest, hash_message
from services.archive.rows import ArchivedMessage

Content = tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]

contents = st.tuples(
    st.none() | st.binary(max_size=6),
    st.none() | st.binary(max_size=6),
    st.integers(0, 1 << 42),
    st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=3),
)
many = st.lists(contents, max_size=12)


def digest(given_: list[Content]) -> Digest:
    found = Digest()
    for place, (key, value, at, headers) in enumerate(given_):
        found.add(ArchivedMessage("events", place % 3, place, at, key, value, headers))
    return found


@given(many, st.randoms(use_true_random=False))
def test_order_and_place_change_nothing(
    given_: list[Content],
    drawn: random.Random,
) -> None:
    other = list(given_)
    drawn.shuffle(other)
    assert digest(other) == digest(given_)


@given(many, many)
def test_parts_add_up(
    a: list[Content],
    b: list[Content],
) -> None:
    whole = digest(a)
    whole.add_all(digest(b))
    assert whole == digest(a + b)
    assert Digest.parse(str(whole), whole.count) == whole


@given(many, many)
def test_other_messages_have_another_digest(
    a: list[Content],
    b: list[Content],
) -> None:
    same = sorted(map(repr, a)) == sorted(map(repr, b))
    assert (str(digest(a)) == str(digest(b))) == same


def test_a_repetition_is_seen_where_exclusive_or_would_not_see_it() -> None:
    once: Content = (b"k", b"v", 7, [])
    assert str(digest([once])) != str(digest([once, once, once]))
    assert str(digest([once, once])) != str(digest([]))


def test_where_one_field_ends_and_the_next_begins_is_part_of_it() -> None:
    made = [
        hash_message(b"ab", b"c", 1, []),
        hash_message(b"a", b"bc", 1, []),
        hash_message(b"abc", b"", 1, []),
        hash_message(b"abc", None, 1, []),
        hash_message(None, b"abc", 1, []),
        hash_message(b"", b"abc", 1, []),
        hash_message(b"a", b"b", 1, [("c", b"")]),
        hash_message(b"a", b"b", 1, [("c", None)]),
        hash_message(b"a", b"b", 1, [("", b"c")]),
        hash_message(b"a", b"b", 2, [("", b"c")]),
        hash_message(b"a", b"b", 1, [("c", b"d"), ("e", b"f")]),
        hash_message(b"a", b"b", 1, [("e", b"f"), ("c", b"d")]),
    ]
    assert len(set(made)) == len(made)
