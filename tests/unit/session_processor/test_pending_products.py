"""What is waited for is what the sessions miss, whatever came before."""

from hypothesis import given
from hypothesis import strategies as st

from services.session_processor.pending_products import PendingProducts

visitors = st.sampled_from([b"a", b"b", b"c"])
products = st.sampled_from(["p", "q", "r", "s"])
steps = st.one_of(
    st.tuples(st.just("wait"), visitors, st.frozensets(products)),
    st.tuples(st.just("forget"), visitors, st.just(frozenset[str]())),
    st.tuples(st.just("pop"), products, st.just(frozenset[str]())),
)


@given(st.lists(steps, max_size=40))
def test_it_holds_what_the_sessions_miss_and_nothing_else(
    done: list[tuple[str, bytes | str, frozenset[str]]],
) -> None:
    pending = PendingProducts()
    missing: dict[bytes, frozenset[str]] = {}
    for what, who, which in done:
        if isinstance(who, str):
            waited = {visitor for visitor, products in missing.items() if who in products}
            assert pending.pop_waiting(who) == dict.fromkeys(waited, 7)
            missing = {visitor: products - {who} for visitor, products in missing.items()}
        elif what == "wait":
            pending.wait(who, 7, which)
            missing[who] = which
        else:
            pending.forget(who)
            missing.pop(who, None)
        assert len(pending) == len(frozenset[str]().union(*missing.values()))
