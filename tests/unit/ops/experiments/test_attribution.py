"""Impressions and events joined: the counts of a plain reckoning, whatever the order and the repetitions."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.identities import Identity
from services.ops.experiments.attribution import (
    Attribution,
    Behaviour,
    HistoryEvent,
    Line,
    Rows,
    ShownProduct,
    ShownRow,
)
from services.visitors.erasure import Erasures
from services.visitors.identity_graph import IdentityGraph

WINDOW = 100
VISITORS = ("a", "b", "c", "user:u")
PRODUCTS = ("p", "q", "r", "s")
JOIN = (Identity(visitor_id="a", user_id="u", occurred_at=7, proven=True),)  # a and user:u are one


def row(  # noqa: PLR0917 - a line of a table
    number: int = 1,
    visitor: str = "b",
    variant: str = "one",
    at: int = 50,
    products: Sequence[str] = ("p", "q"),
    slot: str = "top",
) -> ShownRow:
    return ShownRow(
        recommendation_id=f"r{number}",
        visitor_id=visitor,
        slot=slot,
        shown_at=at,
        items=tuple(map(ShownProduct, products)),
        experiments={"test": variant},
    )


def event(  # noqa: PLR0917 - a line of a table
    number: int = 1,
    type_: str = "select_item",
    visitor: str = "b",
    at: int = 60,
    product: str = "p",
    of: int | None = None,
    value: float | None = None,
    currency: str | None = None,
) -> HistoryEvent:
    return HistoryEvent(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,  # type: ignore[arg-type]
        visitor_id=visitor,
        occurred_at=at,
        product_id=product,
        recommendation_id=None if of is None else f"r{of}",
        value=value,
        currency=currency,
    )


def graph_of(identities: Iterable[Identity]) -> IdentityGraph:
    graph = IdentityGraph()
    for each in identities:
        graph.put(each.visitor_id, each)
    return graph


def join(
    rows: Sequence[ShownRow],
    events: Iterable[HistoryEvent],
    identities: Sequence[Identity] = (),
    slot: str | None = None,
    batch: int = 3,
) -> Attribution:
    graph, behaviour = graph_of(identities), Behaviour()
    for each in events:
        behaviour.add(graph.person(each.visitor_id), each)
    taken = Rows("test", graph, behaviour, slot)
    for begin in range(0, len(rows), batch):
        taken.extend(rows[begin : begin + batch])
    return taken.attribute(WINDOW)


def lines_of(found: Attribution) -> list[tuple[object, ...]]:
    """A line a person, in an order of their own: who is who is not told."""
    columns = (found.first_at, found.switched, found.shown, found.clicked, found.clicks, found.purchases)
    lines = [
        (
            found.names[found.variants[place]],
            *(column[place].item() for column in columns),
            found.attributed[place].item(),
            found.valueless[place].item(),
            tuple((currency, column[place].item()) for currency, column in found.revenue.items()),
        )
        for place in range(len(found))
    ]
    return sorted(lines)


def reckon(rows: Sequence[ShownRow], events: Sequence[HistoryEvent]) -> list[tuple[object, ...]]:
    """The same by sets and loops, written for nothing but to be plain."""
    who = {"a": "user:u"}
    lines = []
    bought = {(who.get(e.visitor_id, e.visitor_id), e.event_id): e for e in events if e.type == "purchase"}
    currencies: set[str] = set()
    people: dict[str, list[ShownRow]] = {}
    for each in rows:
        people.setdefault(who.get(each.visitor_id, each.visitor_id), []).append(each)
    orders: dict[str, list[HistoryEvent]] = {}
    for person, theirs in people.items():
        first_at = min(each.shown_at for each in theirs)
        orders[person] = [
            e
            for (owner, _), e in bought.items()
            if owner == person and 0 <= e.occurred_at - first_at < WINDOW
        ]
        currencies |= {e.currency or "" for e in orders[person] if e.value is not None}
    for person, theirs in people.items():
        first_at, variant = min((each.shown_at, each.experiments["test"]) for each in theirs)
        clicks: dict[tuple[str, str], int] = {}
        for e in events:
            if e.type not in {"select_item", "view_item"} or who.get(e.visitor_id, e.visitor_id) != person:
                continue
            for each in theirs:
                named = each.recommendation_id == e.recommendation_id
                if named and any(e.product_id == item.product_id for item in each.items):
                    pair = (each.recommendation_id, str(e.product_id))
                    clicks[pair] = min(clicks.get(pair, e.occurred_at), e.occurred_at)
        attributed = [
            e
            for e in orders[person]
            if any(product == e.product_id and at <= e.occurred_at for (_, product), at in clicks.items())
        ]
        spent = [
            sum(e.value for e in orders[person] if e.value is not None and (e.currency or "") == currency)
            for currency in sorted(currencies)
        ]
        lines.append(
            (
                variant, first_at, len({each.experiments["test"] for each in theirs}) > 1,
                len({each.recommendation_id for each in theirs}), len({name for name, _ in clicks}),
                len(clicks), len(orders[person]), len(attributed),
                sum(e.value is None for e in orders[person]),
                tuple(zip(sorted(currencies), spent, strict=True)),
            )
        )  # fmt: skip
    return sorted(lines)


times = st.integers(0, 250)
worlds_rows = st.lists(
    st.builds(
        row,
        visitor=st.sampled_from(VISITORS),
        variant=st.sampled_from(("one", "two")),
        at=times,
        products=st.lists(st.sampled_from(PRODUCTS), unique=True),
    ),
    max_size=8,
).map(lambda rows: [row_numbered(each, number) for number, each in enumerate(rows)])
worlds_events = st.lists(
    st.builds(
        event,
        type_=st.sampled_from(("select_item", "view_item", "purchase", "add_to_cart")),
        visitor=st.sampled_from(VISITORS),
        at=times,
        product=st.sampled_from(PRODUCTS),
        of=st.none() | st.integers(0, 8),
        value=st.none() | st.sampled_from((0.0, 8.0, 20.5)),
        currency=st.sampled_from((None, "EUR", "USD")),
    ),
    max_size=14,
).map(lambda events: [event_numbered(each, number) for number, each in enumerate(events)])


def row_numbered(each: ShownRow, number: int) -> ShownRow:
    return row(
        number,
        each.visitor_id,
        each.experiments["test"],
        each.shown_at,
        [item.product_id for item in each.items],
    )


def event_numbered(each: HistoryEvent, number: int) -> HistoryEvent:
    of = None if each.recommendation_id is None else int(each.recommendation_id[1:])
    return event(
        number,
        each.type,
        each.visitor_id,
        each.occurred_at,
        str(each.product_id),
        of,
        each.value,
        each.currency,
    )


@given(worlds_rows, worlds_events)
def test_the_counts_are_those_of_a_plain_reckoning(rows: list[ShownRow], events: list[HistoryEvent]) -> None:
    assert lines_of(join(rows, events, JOIN)) == reckon(rows, events)


@given(worlds_rows, worlds_events, st.randoms(use_true_random=False), st.integers(1, 5))
def test_neither_order_nor_repetition_changes_anything(
    rows: list[ShownRow], events: list[HistoryEvent], random: Random, batch: int
) -> None:
    again_rows = [*rows, *(random.choice(rows) for _ in range(len(rows)))]
    again_events = [*events, *(random.choice(events) for _ in range(len(events)))]
    random.shuffle(again_rows)
    random.shuffle(again_events)
    assert lines_of(join(again_rows, again_events, JOIN, batch=batch)) == lines_of(join(rows, events, JOIN))


def test_a_click_and_the_view_of_the_same_page_are_one_click() -> None:
    found = join([row(1)], [event(1, of=1), event(2, "view_item", of=1), event(3, of=1, product="q")])
    assert (found.clicks.tolist(), found.clicked.tolist()) == ([2], [1])


@pytest.mark.parametrize(
    "click",
    [
        event(of=2),
        event(of=1, product="r"),
        event(of=1, visitor="c"),
        event(),
        event(of=1, type_="add_to_cart"),
    ],
    ids=["another row", "not in the row", "another's row", "no row", "no click"],
)
def test_what_is_no_click_on_a_row_that_was_shown(click: HistoryEvent) -> None:
    assert join([row(1)], [click]).clicked.tolist() == [0]


def test_a_click_counts_whatever_the_clocks_say() -> None:
    assert join([row(1, at=50)], [event(of=1, at=3)]).clicked.tolist() == [1]


def test_a_purchase_counts_from_the_first_row_on_up_to_the_windows_end() -> None:
    for at, counts in [(49, 0), (50, 1), (149, 1), (150, 0)]:
        found = join([row(1, at=50), row(2, at=90)], [event(type_="purchase", at=at)])
        assert found.purchases.tolist() == [counts], at


def test_an_order_that_is_told_several_times_is_one_purchase() -> None:
    told = [event(number, "purchase", at=60 + number, value=20.0) for number in range(3)]
    orders = [structs.replace(each, order_id=order) for each, order in zip(told, "xxy", strict=True)]
    found = join([row(1, at=50)], orders)
    assert (found.purchases.tolist(), found.revenue[""].tolist()) == ([2], [40.0])


def test_a_purchase_is_attributed_to_an_earlier_click_on_the_product() -> None:
    bought = event(9, "purchase", at=70)
    for click, attributed in [
        (event(of=1, at=70), 1),
        (event(of=1, at=71), 0),
        (event(of=1, at=60, product="q"), 0),
        (event(at=60), 0),
    ]:
        assert join([row(1)], [click, bought]).attributed.tolist() == [attributed]


def test_what_a_user_buys_counts_for_what_the_anonymous_visitor_was_shown() -> None:
    rows = [row(1, visitor="a")]
    events = [
        event(1, visitor="user:u", of=1),
        event(2, "purchase", visitor="user:u", at=80, value=5.0, currency="EUR"),
    ]
    assert lines_of(join(rows, events, JOIN)) == [
        ("one", 50, False, 1, 1, 1, 1, 1, 0, (("EUR", 5.0),)),
    ]
    assert join(rows, events).purchases.tolist() == [0]


def test_two_devices_of_a_user_are_one_visitor_of_the_variant_seen_first() -> None:
    both = [Identity(visitor_id=each, user_id="u", occurred_at=1) for each in ("a", "b")]
    found = join([row(1, "a", "two", at=9), row(2, "b", "one", at=8)], [], both)
    assert lines_of(found) == [("one", 8, True, 2, 0, 0, 0, 0, 0, ())]


def test_a_shopper_whose_user_took_another_name_is_one_person_on_all_devices() -> None:
    known = [
        Identity(visitor_id="a", user_id="old", occurred_at=1),
        Identity(visitor_id="user:old", user_id="new", occurred_at=2),  # an alias
        Identity(visitor_id="b", user_id="new", occurred_at=3),
    ]
    rows = [row(1, "a", "one", at=8), row(2, "b", "two", at=9), row(3, "user:new", "one", at=10)]
    events = [event(1, visitor="b", of=1), event(2, "purchase", visitor="user:new", at=80)]
    assert lines_of(join(rows, events, known)) == [("one", 8, True, 3, 1, 1, 1, 1, 1, ())]


def test_the_newest_identity_of_a_visitor_counts_whichever_comes_first() -> None:
    old, new = (
        Identity(visitor_id="a", user_id=user, occurred_at=at) for user, at in (("old", 1), ("new", 2))
    )
    assert graph_of([old, new]).person("a") == graph_of([new, old]).person("a") == "user:new"


def test_other_slots_and_experiments_are_forgotten() -> None:
    other = ShownRow(recommendation_id="x", visitor_id="z", slot="top", shown_at=1, items=())
    rows = [row(1, slot="top"), row(2, slot="basket"), row(3, "c", slot="basket"), other]
    assert join(rows, []).shown.tolist() == [2, 1]
    assert join(rows, [], slot="top").shown.tolist() == [1]
    assert len(join([other], [])) == 0


def test_an_orders_worth_is_its_value_else_what_its_lines_cost() -> None:
    def order(value: float | None, *lines: Line) -> float | None:
        return place_order(value, lines).worth()

    assert order(3.0, Line("p", 2, 9.0)) == 3.0
    assert order(None, Line("p", 2, 9.0), Line("q", None, 1.5)) == 19.5
    assert order(None, Line("p", 2, 9.0), Line("q")) is None
    assert order(None) is None
    assert order(0.0) == 0.0


def place_order(value: float | None, lines: tuple[Line, ...]) -> HistoryEvent:
    return HistoryEvent(
        event_id="00000000-0000-4000-8000-000000000000",
        type="purchase",
        visitor_id="v",
        occurred_at=1,
        items=lines,
        value=value,
    )


def test_what_is_forgotten_with_a_visitor_and_with_a_user() -> None:
    until = Erasures({"a": 5, "user:u": 9, "b": 3}).of_persons(graph_of(JOIN)).until
    assert until["a"] == 9
    assert until["b"] == 3
    assert "c" not in until
    assert Erasures().of_persons(graph_of(JOIN)).until == {}


def test_what_one_of_a_person_did_is_forgotten_with_any_other_of_them() -> None:
    known = [
        Identity(visitor_id="a", user_id="old", occurred_at=1, proven=True),
        Identity(visitor_id="user:old", user_id="new", occurred_at=2, proven=True),
        Identity(visitor_id="b", user_id="new", occurred_at=3, proven=True),
        Identity(visitor_id="claims", user_id="new", occurred_at=4),
    ]
    until = Erasures({"b": 7, "c": 1}).of_persons(graph_of(known)).until
    assert until == {"a": 7, "b": 7, "user:old": 7, "user:new": 7, "c": 1}
