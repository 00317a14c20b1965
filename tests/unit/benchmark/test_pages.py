"""The arithmetic of how rows about products differ, and of reasons that do not hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.live import Reason, RecommendedItem
from services.model.session_index import build_index
from tests.benchmark.pages import ProductRow, Shelf, VisitCounter, fitting_by_chance, overlap, spread

SHELVES = {
    "shirt": Shelf("Men", "shirt"),
    "other shirt": Shelf("Men", "shirt"),
    "trousers": Shelf("Men", "trousers"),
    "tent": Shelf("Outdoor", "tent"),
}


def row(about: str, *product_ids: str) -> ProductRow:
    return ProductRow(about, product_ids)


def test_a_row_of_the_same_shelf_does_not_spread() -> None:
    found = spread([row("shirt", "other shirt")], SHELVES)
    assert (found.tops, found.types, found.same_top, found.same_type) == (1, 1, 1, 1)


def test_shares_are_of_items_and_distinct_ones_are_counted_by_row() -> None:
    rows = [row("shirt", "other shirt", "trousers", "tent"), row("tent", "shirt")]
    found = spread(rows, SHELVES)
    assert (found.rows, found.empty, found.length) == (2, 0, 2.0)
    assert (found.tops, found.types) == (1.5, 2.0)
    assert (found.same_top, found.same_type) == (0.5, 0.25)
    assert found.fitting == 0.25  # trousers go with a shirt; a tent does not, nor a shirt with a tent


def test_chance_is_the_share_of_the_catalogue_that_goes_with_a_product() -> None:
    assert fitting_by_chance(["shirt"], SHELVES) == 0.25
    assert fitting_by_chance(["trousers", "shirt"], SHELVES) == 0.375
    assert fitting_by_chance([], SHELVES) == 0


def test_empty_rows_are_counted_and_else_passed_over() -> None:
    found = spread([row("shirt"), row("shirt", "tent")], SHELVES)
    assert (found.rows, found.empty, found.length, found.same_type) == (2, 1, 1.0, 0.0)
    assert spread([], SHELVES).length == 0


def test_overlap_is_a_share_of_the_longer_row() -> None:
    assert overlap([row("shirt", "tent", "trousers")], [row("shirt", "tent")]) == 0.5
    assert overlap([row("shirt", "tent")], [row("shirt")]) == 0
    assert overlap([row("shirt"), row("tent", "shirt")], [row("shirt"), row("tent", "shirt")]) == 1


def test_rows_about_different_products_are_not_compared() -> None:
    with pytest.raises(ValueError, match="about shirt beside one about tent"):
        overlap([row("shirt", "tent")], [row("tent", "shirt")])
    with pytest.raises(ValueError, match="shorter"):
        overlap([row("shirt", "tent")], [])


IDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), unique=True)


@given(st.lists(st.tuples(IDS, IDS), min_size=1))
def test_overlap_is_a_share_the_same_both_ways_and_whole_with_itself(
    pairs: list[tuple[list[str], list[str]]],
) -> None:
    some = [row(str(number), *first) for number, (first, _) in enumerate(pairs)]
    others = [row(str(number), *second) for number, (_, second) in enumerate(pairs)]
    assert 0 <= overlap(some, others) <= 1
    assert overlap(some, others) == overlap(others, some)
    if any(each.products for each in some):
        assert overlap(some, some) == 1


def test_a_reason_is_false_that_tells_other_visits_than_there_are() -> None:
    items = np.array([0, 1, 0, 1, 1, 2], dtype=np.int32)
    counter = VisitCounter(["a", "b", "c"], build_index(items, np.array([0, 2, 4, 6]), 3, newest=10))

    def tell(product_id: str, other: str, visits: int) -> RecommendedItem:
        reason = Reason(kind="co_visited", product_id=other, visits=visits)
        return RecommendedItem(
            product_id=product_id, score=0, source="behaviour", why="", name="", price=1, currency="EUR",
            availability="in_stock", reason=reason,
        )  # fmt: skip

    assert not counter.is_false(tell("a", "b", 2))
    assert counter.is_false(tell("a", "b", 1))
    assert counter.is_false(tell("a", "c", 0))
