"""Places that are seldom looked at are told from products that are seldom liked, by what chance moved."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event, Item
from schemas.impressions import Shown, ShownItem
from services.model.propensity import (
    FACTOR_MAX,
    WEIGHT_MAX,
    Attention,
    RowEvents,
    SeenRow,
    attention,
    collect_clicks,
    estimate_examination,
    popularity_factors,
)

PLACES, FIRST = 12, 3  # products below the third place may move
TRUTH = np.exp(-0.18 * np.arange(PLACES))


def build_row(number: int, items: tuple[ShownItem, ...], visitor_id: str = "v") -> Shown:
    return Shown(
        recommendation_id=str(number), visitor_id=visitor_id, slot="for_you", kind="for_you", shown_at=number,
        items=items,
    )  # fmt: skip


def item(name: object, propensity: float | None = None) -> ShownItem:
    return ShownItem(product_id=str(name), score=1.0, source="popular", propensity=propensity)


def simulate(count: int, share: float) -> Iterator[SeenRow]:
    """Rows ordered by relevance, in which two places below the third are swapped now and then."""
    random, pool = np.random.default_rng(1), PLACES - FIRST
    relevance = 0.5 * np.exp(-np.arange(PLACES) / 5)
    for number in range(count):
        order, propensities = list(range(PLACES)), [None] * FIRST + [1 - share] * pool
        if random.random() < share:
            one, other = random.choice(np.arange(FIRST, PLACES), 2, replace=False).tolist()
            order[one], order[other] = order[other], order[one]
        # A product moves with the probability share · 2 / pool, to each other place alike.
        moves = share * 2 / pool
        propensities = [
            None if place < FIRST else 1 - moves if order[place] == place else moves / (pool - 1)
            for place in range(PLACES)
        ]
        row = build_row(number, tuple(item(each, p) for each, p in zip(order, propensities, strict=True)))
        clicks = random.random(PLACES) < TRUTH * relevance[order]
        clicked = frozenset(str(order[place]) for place in np.flatnonzero(clicks).tolist())
        yield SeenRow(row, frozenset(each.product_id for each in row.items), clicked)


def test_the_curve_is_found_though_what_is_liked_stands_first() -> None:
    rows = list(simulate(15_000, 0.3))
    curve = estimate_examination(rows)
    assert curve.shape == (PLACES,)
    assert curve[0] == 1
    error = np.abs(curve - TRUTH).max()
    naive = np.zeros(PLACES)
    for row in rows:
        for place, _, clicked in row.items():
            naive[place] += clicked
    assert error < 0.12
    assert np.abs(naive / naive[0] - TRUTH).max() > 0.25  # clicks alone are wrong by more


@pytest.mark.parametrize("share", [0.0, 0.002])
def test_without_enough_chance_nothing_is_known(share: float) -> None:
    curve = estimate_examination(simulate(2_000, share))
    assert curve.shape == (0,)
    assert collect_clicks(simulate(100, share), curve) == []


def join(rows: Iterable[Shown], events: Iterable[Event]) -> list[SeenRow]:
    gathered = RowEvents()
    for each in events:
        gathered.take(each)
    return [row for each in rows if (row := gathered.join(each)) is not None]


def event(type_: str, row: int | None, *products: str, visitor_id: str = "v") -> Event:
    return Event(
        event_id=f"{0:026d}", type=type_, visitor_id=visitor_id, occurred_at=0,  # type: ignore[arg-type]
        recommendation_id=None if row is None else str(row),
        items=tuple(map(Item, products)),
    )  # fmt: skip


def test_a_row_that_nobody_saw_is_no_row_without_clicks() -> None:
    rows = [build_row(number, (item("a"), item("b"), item("c"))) for number in range(4)]
    events = [
        event("view_item_list", 0),
        event("view_item_list", 1, "a"),
        event("select_item", 1, "b"),
        event("select_item", 1, "not in the row"),
        event("view_item_list", 2, visitor_id="somebody else"),
        event("view_item", None, "a"),
    ]
    found = {row.shown.recommendation_id: row for row in join([*rows, rows[0]], [*events, *events[::-1]])}
    assert {name: (set(row.seen), set(row.clicked)) for name, row in found.items()} == {
        "0": ({"a", "b", "c"}, set()),
        "1": ({"a", "b"}, {"b"}),
    }


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["view_item_list", "select_item"]))))
def test_what_was_clicked_was_seen_and_order_changes_nothing(told: list[tuple[str, str]]) -> None:
    events = [event(type_, 0, product) for product, type_ in told]
    row = build_row(0, tuple(map(item, "abcd")))
    found, backwards = join([row], events), join([row], events[::-1])
    assert found == backwards
    assert all(each.clicked <= each.seen <= set("abcd") for each in found)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.sets(st.sampled_from("abcd")))
def test_a_click_counts_more_where_few_look_and_only_what_was_seen_is_left(
    curve: list[float], clicked: set[str]
) -> None:
    row = SeenRow(build_row(0, tuple(map(item, "abcde"))), frozenset("abcd"), frozenset(clicked))
    for case in collect_clicks([row], np.array(curve)):
        assert case.weight == min(1 / curve["abcd".index(case.target)], WEIGHT_MAX)
        assert set(case.others) == set("abcd") - clicked
    assert len(collect_clicks([row], np.array(curve))) == (len(clicked) if len(clicked) < 4 else 0)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.floats(0, 1), st.floats(0, 1e4, width=32)), min_size=1, max_size=9
    )
)
def test_popularity_is_corrected_within_bounds(told: list[tuple[float, float, float]]) -> None:
    products = list(map(str, range(len(told))))
    seen = {
        name: Attention(looks, int(looks * part))
        for name, (looks, part, _) in zip(products, told, strict=True)
    }
    factors = popularity_factors(seen, products, np.array([count for *_, count in told], np.float32))
    assert ((factors >= np.float32(1 / FACTOR_MAX)) & (factors <= FACTOR_MAX)).all()


def test_what_is_met_often_because_it_stands_first_loses_to_what_is_clicked() -> None:
    seen = {"first": Attention(1_000.0, 20), "last": Attention(100.0, 20)}
    counts = np.array([100.0, 50.0, 70.0], np.float32)
    factors = popularity_factors(seen, ["first", "last", "never seen"], counts)
    corrected = counts * factors
    assert corrected[1] > corrected[0]
    assert factors[2] == 1
    assert (popularity_factors({}, ["a", "b"], counts[:2]) == 1).all()
    rows = [SeenRow(build_row(0, (item("a"), item("b"))), frozenset("a"), frozenset("a"))]
    assert attention(rows, np.array([1.0, 0.5])) == {"a": Attention(1.0, 1)}
