"""Sessions compared byte for byte, without a broker."""

from hypothesis import given
from hypothesis import strategies as st

from schemas import sessions
from schemas.sessions import Session, SessionEvent
from services.kafka.ranges import Span
from services.ops.replay.sessions import compare_digests, compare_sessions, digest, together
from services.ops.replay.source import Seen
from services.progress import Silent
from tests.support.messages import PartitionReader, StoredMessage


def session(visitor_id: str, *identities: int, vector: bytes = b"v") -> bytes:
    made = tuple(SessionEvent(each, bytes([each]), f"p{each}", 2) for each in identities)
    return sessions.encode(Session(visitor_id, made, "layout", vector))


def make_seen(*each: bytes) -> Seen:
    made = Seen()
    for one in each:
        made.add(one)
    return made


def topic(**newest: bytes | None) -> list[list[StoredMessage]]:
    return [[StoredMessage(name.encode(), value, at=1) for name, value in newest.items()], []]


REPLAYED = make_seen(*(bytes([each]) for each in (1, 2, 3)))
EVERYONE = make_seen(*(f"{each}".encode() for each in "abcdefg"))


def test_each_visitor_is_equal_different_missing_or_beyond() -> None:
    ours = topic(a=session("a", 1), b=session("b", 1), c=session("c", 1), d=session("d", 1), f=None)
    theirs = topic(
        a=session("a", 1), b=session("b", 1, vector=b"w"), c=session("c", 1, 9), e=session("e", 2), z=b"?"
    )

    found = compare_sessions(PartitionReader(ours), PartitionReader(theirs), REPLAYED, EVERYONE, Silent())

    assert (found.visitors, found.equal, found.different, found.beyond, found.missing) == (4, 1, 2, 1, 1)
    assert [(each.visitor_id, each.what.split()[0]) for each in found.differences] == [
        ("b", "vector"),
        ("e", "only"),
    ]


def test_of_several_states_the_newest_counts() -> None:
    states = [[StoredMessage(b"a", session("a", 1), at=1), StoredMessage(b"a", session("a", 1, 2), at=2)]]

    found = compare_sessions(
        PartitionReader(states),
        PartitionReader(topic(a=session("a", 1, 2))[:1]),
        REPLAYED,
        EVERYONE,
        Silent(),
    )

    assert (found.equal, found.different) == (1, 0)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=4)), st.randoms())
def test_the_digest_depends_on_sessions_and_not_on_their_order(
    found: dict[str, bytes], random: object
) -> None:
    shuffled = list(found.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert digest(dict(shuffled)) == digest(found)
    if found:
        name = shuffled[0][0]
        assert digest({**found, name: found[name] + b"!"}) != digest(found)


def test_before_and_after_are_compared_for_the_replayed_visitors_only() -> None:
    before = {"a": b"1", "b": b"1", "c": b"1", "z": b"1"}
    after = {"a": b"1", "b": b"2", "d": b"1", "z": b"2"}

    found = compare_digests(before, after, EVERYONE)

    assert (found.equal, found.different, found.missing, found.visitors) == (1, 2, 1, 3)
    assert [each.visitor_id for each in found.differences] == ["b", "c"]


def test_partitions_are_read_together_as_far_as_they_are_small() -> None:
    spans = [Span("x", part, 0, count) for part, count in enumerate((3, 4, 9, 1))] + [Span("y", 0, 0, 1)]

    assert together(spans, most=8) == [frozenset({0, 1}), frozenset({2}), frozenset({3})]
