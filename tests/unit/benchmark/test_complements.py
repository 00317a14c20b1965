"""The arithmetic of how rows about products differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmark.complements import Item, Row, Shelf, fitting_by_chance, overlap, spread

SHELVES = {
    "shirt": Shelf("Men", "shirt"),
    "other shirt": Shelf("Men", "shirt"),
    "trousers": Shelf("Men", "trousers"),
    "tent": Shelf("Outdoor", "tent"),
}


def row(about: str, *product_ids: str, source: str = "content") -> Row:
    return Row(about, tuple(Item(product_id, source) for product_id in product_ids))


def test_a_row_of_the_same_shelf_does_not_spread() -> None:
    found = spread([row("shirt", "other shirt")], SHELVES)
    assert (found.tops, found.types, found.same_top, found.same_type) == (1, 1, 1, 1)


def test_shares_are_of_items_and_distinct_ones_are_counted_by_row() -> None:
    rows = [row("shirt", "other shirt", "trousers", "tent"), row("tent", "shirt", source="behaviour")]
    found = spread(rows, SHELVES)
    assert (found.rows, found.empty, found.length) == (2, 0, 2.0)
    assert (found.tops, found.types) == (1.5, 2.0)
    assert (found.same_top, found.same_type) == (0.5, 0.25)
    assert found.fitting == 0.25  # trousers go with a shirt; a tent does not, nor a shirt with a tent
    assert found.sources == {"behaviour": 0.25, "content": 0.75}


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
    if any(each.items for each in some):
        assert overlap(some, some) == 1
