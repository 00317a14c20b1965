"""One numbering: ids keep their number, columns grow with it, and the newest changes are known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.product_numbers import CHANGES_KEPT, FIRST_PRODUCTS, UNKNOWN, Column, ProductNumbers

names = st.lists(st.sampled_from("abcdefgh"), max_size=30)


@given(names, names)
def test_an_id_has_one_number_and_a_number_one_id(known: list[str], asked: list[str]) -> None:
    numbers = ProductNumbers()
    first = numbers.number_all(known)
    assert numbers.number_all(known).tolist() == first.tolist()
    assert numbers.ids(first) == known
    assert sorted(set(first.tolist())) == list(range(len(numbers))) == list(range(len(set(known))))
    found = numbers.find_all(asked).tolist()
    assert [number == UNKNOWN for number in found] == [name not in known for name in asked]
    assert [numbers.id(number) for number in found if number != UNKNOWN] == [
        name for name in asked if name in known
    ]


def test_a_column_has_its_default_for_what_was_never_put_and_for_the_unknown() -> None:
    numbers = ProductNumbers()
    column = Column(numbers, np.int32, UNKNOWN)
    everyone = numbers.number_all(map(str, range(3 * FIRST_PRODUCTS)))
    assert set(column.take(everyone).tolist()) == {UNKNOWN}
    column.put(int(everyone[-1]), 7)
    column.put_all(everyone[:2], np.array([1, 2], dtype=np.int32))
    asked = numbers.find_all(["0", "1", "2", "no such product", str(3 * FIRST_PRODUCTS - 1)])
    assert column.take(asked).tolist() == [1, 2, UNKNOWN, UNKNOWN, 7]
    assert column.at(UNKNOWN) == UNKNOWN


@given(st.integers(0, 3 * CHANGES_KEPT), st.integers(0, 3 * CHANGES_KEPT))
def test_what_changed_since_is_told_of_the_newest_changes(before: int, after: int) -> None:
    numbers = ProductNumbers()
    for change in range(before + after):
        if change == before:
            assert numbers.changes == before
        numbers.record_change(change)
    expected = range(before, before + after)[-CHANGES_KEPT:]
    assert numbers.changes_since(before).tolist() == [*expected]
