"""Who is one person: whatever comes first or twice, the newest word on each visitor counts."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.identities import Identity, encode, visitor_of
from services.archive.rows import ArchivedMessage
from services.settings import ServiceSettings
from services.visitors.identity_graph import IdentityGraph

USERS = ("ada", "bob", "cy")
VISITORS = ("v1", "v2", "v3", "v4", "user:ada", "user:bob")  # a user may become another one

EVERYBODY = dict.fromkeys((*VISITORS, *map(visitor_of, USERS)))


def identity(visitor_id: str, user_id: str, at: int = 1, proven: bool = False) -> Identity:
    return Identity(visitor_id=visitor_id, user_id=user_id, occurred_at=at, proven=proven)


def people(*identities: Identity, most: int = 100) -> IdentityGraph:
    found = IdentityGraph(most)
    for each in identities:
        found.put(each.visitor_id, each)
    return found


def message(visitor_id: str, value: bytes | None) -> ArchivedMessage:
    return ArchivedMessage("identities", 0, 0, 1, visitor_id.encode(), value, [])


identities = st.builds(
    identity, st.sampled_from(VISITORS), st.sampled_from(USERS), st.integers(1, 9), st.booleans()
)


def everybody(found: IdentityGraph) -> dict[str, frozenset[str]]:
    return {each: found.members(each) for each in EVERYBODY}


@given(st.lists(identities, max_size=12), st.randoms(use_true_random=False))
def test_order_and_duplicates_change_nothing(told: list[Identity], random: object) -> None:
    other = [*told, *told[::2]]
    random.shuffle(other)  # type: ignore[attr-defined]
    assert everybody(people(*told)) == everybody(people(*other))
    assert len(people(*told)) == len({each.visitor_id for each in told})


@given(st.lists(identities, max_size=12))
def test_the_newest_word_on_a_visitor_says_whose_person_it_is(told: list[Identity]) -> None:
    newest: dict[str, Identity] = {}
    for each in told:
        newest[each.visitor_id] = max(
            each,
            newest.get(each.visitor_id, each),
            key=lambda one: (one.occurred_at, one.user_id, one.proven),
        )
    together = {each: {each} for each in EVERYBODY}
    for visitor_id, one in newest.items():
        both = together[visitor_id] | together[one.user]
        together |= dict.fromkeys(both, both)
    assert everybody(people(*told)) == together


@given(st.lists(identities, max_size=12))
def test_members_of_one_person_agree_on_who_they_are(told: list[Identity]) -> None:
    found = people(*told)
    for visitor_id, members in everybody(found).items():
        assert visitor_id in members
        assert all(found.members(each) == members for each in members)


@given(st.lists(identities | st.sampled_from(VISITORS), max_size=12))
def test_exactly_those_whose_person_has_changed_are_told(told: list[Identity | str]) -> None:
    found = IdentityGraph()
    for each in told:
        before = everybody(found), proven(found)
        visitor_id, one = (each, None) if isinstance(each, str) else (each.visitor_id, each)
        changed = found.put(visitor_id, one)
        after = everybody(found), proven(found)
        others = {
            visitor
            for old, new in zip(before, after, strict=True)
            for visitor in new
            if new[visitor] != old[visitor]
        }
        assert others <= changed
        assert others or not changed


def test_a_visitor_who_becomes_another_user_leaves_the_first() -> None:
    found = people(identity("v1", "ada"), identity("v2", "ada"))
    assert found.members("v1") == {"v1", "v2", "user:ada"} == found.members("user:ada")
    changed = found.put("v1", identity("v1", "bob", 2))
    assert changed == {"v1", "v2", "user:ada", "user:bob"}
    assert found.members("v1") == {"v1", "user:bob"}
    assert found.members("v2") == {"v2", "user:ada"}


def test_a_user_who_becomes_another_takes_all_visitors_along_and_two_may_name_each_other() -> None:
    found = people(identity("v1", "ada"), identity("v2", "bob"))
    changed = found.put("user:ada", identity("user:ada", "bob"))
    everyone = {"v1", "v2", "user:ada", "user:bob"}
    assert changed == everyone
    assert all(found.members(each) == everyone for each in everyone)
    assert found.put("user:bob", identity("user:bob", "ada")) == frozenset()
    assert found.put("user:ada", None) == frozenset()
    assert found.members("v2") == everyone
    assert found.put("user:bob", None) == everyone
    assert found.members("v2") == {"v2", "user:bob"}


def test_who_is_forgotten_is_nobody_else_any_more() -> None:
    found = people(identity("v1", "ada"), identity("v2", "ada"))
    assert found.put("v1", None) == {"v1", "v2", "user:ada"}
    assert found.members("v1") == {"v1"}
    assert found.members("user:ada") == {"v2", "user:ada"}
    assert found.put("v1", None) == frozenset()
    assert found.put("v2", None) == {"v2", "user:ada"}
    assert found.members("user:ada") == {"user:ada"}
    assert len(found) == 0


def test_a_later_word_that_says_the_same_concerns_nobody_but_counts_as_later() -> None:
    found = people(identity("v1", "ada", 1))
    assert found.put("v1", identity("v1", "ada", 9)) == frozenset()
    assert found.put("v1", identity("v1", "bob", 5)) == frozenset()
    assert found.members("v1") == {"v1", "user:ada"}


@given(st.lists(identities, max_size=12))
def test_a_person_has_one_name_which_nobody_else_has(told: list[Identity]) -> None:
    found = people(*told)
    for visitor_id, members in everybody(found).items():
        assert found.person(visitor_id) in members
        assert {found.person(each) for each in members} == {found.person(visitor_id)}


@given(st.lists(identities | st.sampled_from(VISITORS), max_size=12))
def test_messages_of_the_topic_make_the_same_graph(told: list[Identity | str]) -> None:
    found, read = IdentityGraph(), IdentityGraph()
    for each in told:
        visitor_id, one = (each, None) if isinstance(each, str) else (each.visitor_id, each)
        found.put(visitor_id, one)
        assert read.take(message(visitor_id, None if one is None else encode(one)))
    assert everybody(read) == everybody(found)
    assert not read.take(message("v1", b"rubbish"))
    assert not read.take(message("v1", encode(identity("v2", "ada"))))
    assert everybody(read) == everybody(found)


def proven(found: IdentityGraph) -> dict[str, frozenset[str]]:
    return {each: found.members(each, proven=True) for each in EVERYBODY}


@given(st.lists(identities, max_size=12), st.integers(1, 3), st.randoms(use_true_random=False))
def test_persons_are_bounded_the_same_whatever_came_first(
    told: list[Identity], most: int, random: object
) -> None:
    other = [*told, *told[::2]]
    random.shuffle(other)  # type: ignore[attr-defined]
    one, two = people(*told, most=most), people(*other, most=most)
    assert everybody(one) == everybody(two)
    assert proven(one) == proven(two)
    for found in (everybody(one), proven(one)):
        for visitor_id, members in found.items():
            assert visitor_id in members
            assert len(members) <= most + 1
            assert all(found[each] == members for each in members)


@given(st.lists(identities | st.sampled_from(VISITORS), max_size=16), st.integers(1, 3))
def test_all_whose_person_or_proof_has_changed_are_told_in_bounded_persons_too(
    told: list[Identity | str], most: int
) -> None:
    found = IdentityGraph(most)
    for place, each in enumerate(told):
        before = everybody(found), proven(found)
        visitor_id, one = (each, None) if isinstance(each, str) else (each.visitor_id, each)
        changed = found.put(visitor_id, one)
        after = everybody(found), proven(found)
        others = {
            visitor
            for visitor in EVERYBODY
            for old, new in zip(before, after, strict=True)
            if old[visitor] != new[visitor]
        }
        assert others <= changed
        # Nothing that is kept from former walks is out of date.
        newest = {each.visitor_id: each for each in told[: place + 1] if isinstance(each, Identity)}
        left = [kept for each in newest if (kept := found.identity(each)) is not None]
        assert after == (everybody(people(*left, most=most)), proven(people(*left, most=most)))


def test_claims_do_not_make_anybody_proven_and_proven_ones_are_not_crowded_out() -> None:
    own = [identity(f"own-{number}", "ada", number, proven=True) for number in range(3)]
    claims = [identity(f"claim-{number}", "ada", 100 + number) for number in range(50)]
    found = people(*own, *claims, identity("user:bob", "ada", 999), most=5)
    mine = {"own-0", "own-1", "own-2", "user:ada"}
    assert found.members("own-0", proven=True) == mine
    assert found.members("user:bob", proven=True) == {"user:bob"}
    assert found.members("own-0") == {*mine, "claim-49", "user:bob"}
    assert found.members("claim-1") == {"claim-1"}
    assert found.left_out == 49


def test_a_chain_of_aliases_does_not_make_a_person_of_any_size() -> None:
    chain = [identity(f"user:u{number}", f"u{number + 1}", number + 1) for number in range(300)]
    found = people(*chain, identity("v", "u7"))
    assert found.members("v") == {"v", "user:u7"}
    assert found.members("user:u250") == {"user:u250"}


def test_ids_that_mean_nothing_join_nobody() -> None:
    found = IdentityGraph.of(ServiceSettings())
    nobody = ("undefined", "NULL", " none ", "nan", "Guest", "anonymous", "0", "noreply@shop.example")
    for user_id in (*nobody, "?", " ", "[object Object]"):
        assert found.put("v1", identity("v1", user_id)) == frozenset()
    assert found.put("user:guest", identity("user:guest", "ada")) == frozenset()
    assert found.put("v1", identity("v1", "10")) == {"v1", "user:10"}
    for real in ("a", "o", "guest-house"):  # `?` and `[…]` stand for themselves, not for any character
        assert found.put(f"v-{real}", identity(f"v-{real}", real)) == {f"v-{real}", f"user:{real}"}
    own = IdentityGraph.of(ServiceSettings(placeholder_ids="walk-in *,kiosk"))
    assert own.put("v1", identity("v1", "Walk-in 7")) == frozenset()
    assert own.put("v1", identity("v1", "guest")) == {"v1", "user:guest"}
