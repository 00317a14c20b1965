"""Sessions of people: two visitors' histories become that of one visitor who did it all."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventType
from schemas.identities import Identity
from schemas.sessions import SESSION_EVENTS_MAX, Session, encode
from services.model.session import fold
from services.recommender.visitor_sessions import MergedSessions, OwnEvent, PublishedSession, Sessions
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from tests.support.sessions import DAY, LAYOUT, TUNING, VECTORS, content, event, fold_all, product

TYPES: tuple[EventType, ...] = ("view_item", "add_to_cart", "remove_from_cart", "purchase")


class Joined:
    """Two visitors, v1 and v2, who may turn out to be one user."""

    def __init__(self, vectors: VectorReplica = VECTORS, bytes_max: int = 1 << 20) -> None:
        self.vectors = vectors
        self.people = IdentityGraph()
        self.alone = Sessions(LAYOUT, 100)
        self.sessions = MergedSessions(self.alone, self.people, vectors, LAYOUT, TUNING, bytes_max=bytes_max)

    def put(self, visitor_id: str, events: Sequence[Event], folded_at: float = 1.0) -> None:
        session = Session(visitor_id)
        for each in events:
            session = fold(session, each, self.vectors, LAYOUT, TUNING)
        self.alone.put(
            visitor_id, PublishedSession(encode(session), caused_by=visitor_id, folded_at=folded_at)
        )

    def join(self, visitor_id: str, user_id: str = "ada", at: int = 1, *, proven: bool = False) -> None:
        told = Identity(visitor_id=visitor_id, user_id=user_id, occurred_at=at, proven=proven)
        self.people.put(visitor_id, told)


def contents_of(session: Session | None) -> tuple[object, ...]:
    """All but whose it is."""
    assert session is not None
    return (
        session.events,
        session.layout,
        session.vector,
        session.interests,
        session.missing,
        session.bought,
        session.searches,
        session.shown,
    )


events = st.lists(
    st.builds(
        event,
        st.integers(0, 60),
        st.integers(0, 40 * DAY),
        st.integers(0, 25).map("p{}".format),  # of the last five nobody knows a vector
        st.sampled_from(TYPES),
    ),
    max_size=SESSION_EVENTS_MAX,
    unique_by=lambda each: each.event_id,
)


@given(events, st.data())
def test_two_histories_become_the_one_of_a_visitor_who_did_it_all(
    everything: list[Event], data: st.DataObject
) -> None:
    sides = data.draw(
        st.lists(st.integers(0, 3), min_size=len(everything), max_size=len(everything)), label="1, 2, 3: both"
    )
    joined = Joined()
    for bit, visitor_id in ((1, "v1"), (2, "v2")):
        # What nobody saw is on the first side; some events were delivered for both.
        joined.put(
            visitor_id, [each for each, side in zip(everything, sides, strict=True) if (side or 1) & bit]
        )
        joined.join(visitor_id)
    # Each side has left out what lies too long before its own newest event: so would the whole have done.
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all(everything))
    assert contents_of(joined.sessions.session("user:ada")) == contents_of(joined.sessions.session("v2"))


@given(st.lists(st.lists(st.integers(0, 400), max_size=SESSION_EVENTS_MAX), max_size=6))
def test_many_histories_become_the_one_of_a_visitor_who_did_it_all(parts: list[list[int]]) -> None:
    joined = Joined()
    for place, numbers in enumerate(parts):
        done = [event(number, number * 1000, f"p{number % 20}") for number in dict.fromkeys(numbers)]
        joined.put(f"v{place}", done)
        joined.join(f"v{place}")
    everything = sorted({number for numbers in parts for number in numbers})
    whole = [event(number, number * 1000, f"p{number % 20}") for number in everything]
    if len(parts) > 1:
        assert contents_of(joined.sessions.session("v0")) == contents_of(fold_all(whole)) or not whole


def test_a_visitor_is_told_only_of_what_is_proven_to_be_its_own() -> None:
    joined = Joined()
    for number, visitor_id in enumerate(("v1", "v2", "thief"), start=1):
        joined.put(visitor_id, [event(number, number, f"p{number}")])
    assert joined.sessions.own_events("v1") is None
    joined.join("v1", proven=True)
    joined.join("v2", proven=True)
    assert joined.sessions.own_events("v1") is None
    joined.join("thief")
    own: list[OwnEvent] = [("view_item", f"p{number}", number) for number in (1, 2, 3)]
    assert joined.sessions.own_events("thief") == frozenset(own[2:])
    assert joined.sessions.own_events("v1") == frozenset(own[:2])
    merged = joined.sessions.session("thief")
    assert merged is not None
    assert [each.product_id for each in merged.events] == ["p1", "p2", "p3"]


def test_more_than_a_session_holds_are_the_newest_of_both() -> None:
    many = [event(number, number * 1000, f"p{number % 20}") for number in range(2 * SESSION_EVENTS_MAX)]
    joined = Joined()
    joined.put("v1", many[::2])
    joined.put("v2", many[1::2])
    for visitor_id in ("v1", "v2"):
        joined.join(visitor_id)
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all(many[SESSION_EVENTS_MAX:]))


def test_before_they_are_one_each_has_its_own() -> None:
    joined = Joined()
    joined.put("v1", [event(1, 1, "p1")])
    joined.put("v2", [event(2, 2, "p2")])
    joined.join("v1")
    one = joined.sessions.session("v1")
    assert one is not None
    assert [each.product_id for each in one.events] == ["p1"]
    assert joined.sessions.session("v3") is None
    assert joined.sessions.latest("v3") is None


def test_joining_twice_changes_nothing_and_computes_nothing_anew() -> None:
    joined = Joined()
    joined.put("v1", [event(1, 1, "p1")])
    joined.put("v2", [event(2, 2, "p2")])
    for _ in range(2):
        joined.join("v1")
        joined.join("v2", at=2)
    first = joined.sessions.session("v1")
    joined.join("v1", at=9)
    assert joined.sessions.session("v1") is first
    assert joined.sessions.session("v2") is first


def test_what_was_merged_longest_ago_gives_way_where_memory_ends() -> None:
    joined = Joined(bytes_max=2_000)  # one pair's 1,100 bytes, not two
    for number, visitor in enumerate(("v1", "v2", "v3", "v4")):
        joined.put(visitor, [event(number, 1, "p1")])
        joined.join(visitor, "ada" if number < 2 else "bo")
    first = joined.sessions.session("v1")
    assert joined.sessions.session("v2") is first
    joined.sessions.session("v3")
    again = joined.sessions.session("v1")
    assert again is not first
    assert contents_of(again) == contents_of(first)


def test_a_member_without_a_session_is_no_matter_and_nobody_has_one() -> None:
    joined = Joined()
    joined.join("v1")
    joined.join("v2")
    assert joined.sessions.session("v1") is None
    assert joined.sessions.latest("v1") is None
    joined.put("v2", [event(1, 1, "p1")])
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all([event(1, 1, "p1")]))


def test_a_newer_session_of_either_is_seen_at_once_and_a_forgotten_one_no_more() -> None:
    joined = Joined()
    one, two, three = event(1, 1, "p1"), event(2, 2, "p2"), event(3, 3, "p3")
    joined.put("v1", [one])
    joined.put("v2", [two])
    joined.join("v1")
    joined.join("v2")
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all([one, two]))
    joined.put("v2", [two, three])
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all([one, two, three]))
    joined.alone.remove("v1")
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all([two, three]))
    joined.put("v1", [one])
    joined.join("v1", "bob", at=2)
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all([one]))


def test_the_newest_message_about_any_of_them_tells_what_caused_it() -> None:
    joined = Joined()
    joined.put("v1", [event(1, 1)], folded_at=7.0)
    joined.put("v2", [event(2, 2)], folded_at=6.0)
    joined.join("v1")
    joined.join("v2")
    published = joined.sessions.latest("v2")
    assert published is not None
    assert published.caused_by == "v1"


def test_a_product_that_gets_its_vector_later_joins_the_session() -> None:
    vectors = VectorReplica(LAYOUT)
    vectors.put(product(1), content(1))
    joined = Joined(vectors)
    both = [event(1, 1, "p1"), event(2, 2, "p2")]
    joined.put("v1", both[:1])
    joined.put("v2", both[1:])
    joined.join("v1")
    joined.join("v2")
    before = joined.sessions.session("v1")
    assert before is not None
    assert before.missing_products == {"p2"}
    vectors.put(product(2), content(2))
    assert contents_of(joined.sessions.session("v1")) == contents_of(fold_all(both, vectors))


def test_a_session_of_another_layout_is_computed_anew_from_its_events() -> None:
    joined = Joined()
    stranger = Session("v1", fold_all([event(1, 1, "p1")]).events, layout="another")
    joined.alone.put("v1", PublishedSession(encode(stranger)))
    joined.put("v2", [event(2, 2, "p2")])
    assert joined.sessions.session("v1") is None
    joined.join("v1")
    joined.join("v2")
    assert contents_of(joined.sessions.session("v1")) == contents_of(
        fold_all([event(1, 1, "p1"), event(2, 2, "p2")])
    )
