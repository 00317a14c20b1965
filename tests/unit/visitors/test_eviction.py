"""Who is forgotten first when memory is short, and that inventing visitors forgets nobody real."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import KIND_OF, Session, SessionEvent
from services.visitors.eviction import EvictionOrder, Rank, rank_of

BYTES = 20


def event(kind: str, at: int = 0) -> SessionEvent:
    return SessionEvent(at, b"e", "p", KIND_OF[kind])  # type: ignore[index]


def test_a_rank_follows_from_what_is_remembered() -> None:
    view, cart, purchase = event("view_item"), event("add_to_cart"), event("purchase")
    assert rank_of(Session("v")) is rank_of(Session("v", (view,))) is Rank.ONCE
    assert rank_of(Session("v", (view, cart))) is Rank.SEVERAL
    assert rank_of(Session("v", (purchase,))) is Rank.BUYER
    assert rank_of(Session("v", (view,), bought=bytes(8))) is Rank.BUYER  # it has left the events


visitors = st.integers(0, 9)
own_ranks = st.sampled_from([Rank.ONCE, Rank.SEVERAL, Rank.BUYER])
steps = st.one_of(
    st.tuples(st.just("put"), visitors, st.integers(1, 8), own_ranks),
    st.tuples(st.just("touch"), visitors),
    st.tuples(st.just("remove"), visitors),
    st.tuples(st.just("open"), visitors),
    st.tuples(st.just("close"), visitors),
)


@given(st.lists(steps, max_size=80), st.integers(1, 6))
def test_nobody_goes_before_one_of_a_lower_rank_or_one_used_less_lately(
    done: list[tuple[object, ...]], count_max: int
) -> None:
    pages: set[int] = set()
    order = EvictionOrder[int](bytes_max=BYTES, count_max=count_max, is_open=pages.__contains__)
    known: dict[int, tuple[int, Rank, int]] = {}  # size, own rank, when it was used
    for now, (what, visitor, *rest) in enumerate(done):
        assert isinstance(visitor, int)
        match what:
            case "put":
                size, rank = rest
                assert isinstance(size, int)
                assert isinstance(rank, Rank)
                order.put(visitor, size, rank)
                known[visitor] = (size, rank, now)
            case "touch":
                order.touch(visitor)
                if visitor in known:
                    known[visitor] = (*known[visitor][:2], now)
            case "remove":
                order.remove(visitor)
                known.pop(visitor, None)
            case "open":
                pages.add(visitor)
            case _:
                pages.discard(visitor)
        for evicted, rank in order.pop_excess():
            gone = known.pop(evicted)
            assert (rank is Rank.OPEN) == (evicted in pages)
            assert rank in (gone[1], Rank.OPEN)
            if evicted in pages:  # only when all others are open, too
                assert all(each in pages for each in known)
        assert order.bytes == sum(size for size, _, _ in known.values())
        assert len(order) == len(known)
        assert len(known) <= 1 or (order.bytes <= BYTES and len(known) <= count_max)


@given(st.lists(st.tuples(visitors, own_ranks), max_size=60), st.integers(1, 7))
def test_without_pages_the_least_in_rank_and_use_goes(put: list[tuple[int, Rank]], count_max: int) -> None:
    order = EvictionOrder[int](count_max=count_max)
    known: dict[int, tuple[Rank, int]] = {}
    for now, (visitor, rank) in enumerate(put):
        order.put(visitor, 1, rank)
        known[visitor] = (rank, now)
        for evicted, _ in order.pop_excess():
            assert known[evicted] == min(known.values())
            del known[evicted]
    assert len(known) <= count_max


def test_a_flood_of_invented_visitors_forgets_them_and_nobody_real() -> None:
    pages = {"looks"}
    order = EvictionOrder[str](bytes_max=1000, is_open=pages.__contains__)
    order.put("bought", 10, Rank.BUYER)
    order.put("looks", 10, Rank.ONCE)
    order.put("looked around", 10, Rank.SEVERAL)
    for number in range(100_000):
        order.put(f"invented-{number}", 10, Rank.ONCE)
        order.pop_excess()
    assert all(each in order for each in ("bought", "looks", "looked around"))
    assert order.bytes <= 1000
    for number in range(100_000):  # a flood that takes more trouble
        order.put(f"invented-{number}", 10, Rank.SEVERAL)
        order.pop_excess()
    assert all(each in order for each in ("bought", "looks"))


def test_a_page_that_was_closed_protects_nobody_any_more() -> None:
    pages = {f"v{number}" for number in range(10)}
    order = EvictionOrder[str](count_max=10, is_open=pages.__contains__)
    for visitor in sorted(pages):
        order.put(visitor, 1, Rank.ONCE)
    order.put("buyer", 1, Rank.BUYER)
    order.pop_excess()  # nobody else is left to go
    order.put("buyer", 1, Rank.BUYER)
    pages.clear()
    for number in range(40):
        order.put(f"new-{number}", 1, Rank.SEVERAL)
        order.pop_excess()
    assert "buyer" in order
    assert sum(f"v{number}" in order for number in range(10)) <= 1  # a newcomer's place


def test_who_is_new_has_room_however_many_are_known() -> None:
    order = EvictionOrder[str](bytes_max=1000)
    for number in range(1000):
        order.put(f"buyer-{number}", 10, Rank.BUYER)
        order.pop_excess()
    for number in range(12):
        order.put(f"new-{number}", 10, Rank.ONCE)
        order.pop_excess()
    assert all(f"new-{number}" in order for number in range(12))
    order.put("new-0", 20, Rank.SEVERAL)  # it came back, and has become known
    order.pop_excess()
    assert "new-0" in order
    assert order.bytes <= 1000
