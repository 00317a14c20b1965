"""What a model says of visits that hold two products is what counting them one by one gives."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.model.behaviour import Behaviour
from services.model.item2vec import build_item2vec
from services.model.session_index import build_index
from tests.support.examples import examples

NAMES = tuple("abcdefgh")
VISITS = st.lists(st.lists(st.integers(0, len(NAMES) - 1), min_size=1, max_size=7), min_size=1, max_size=25)


def model_of(visits: Sequence[Sequence[int]], newest: int) -> Behaviour:
    items = np.array([each for visit in visits for each in visit], dtype=np.int32)
    starts = np.cumsum([0, *map(len, visits)])
    vectors = np.eye(len(NAMES), dtype=np.float32)
    index = build_index(items, starts, len(NAMES), newest)
    return Behaviour("drawn", NAMES, index, build_item2vec(vectors, vectors, k=3), None)


def visits_of(visits: Sequence[Sequence[int]], product: int, newest: int) -> list[set[int]]:
    """The newest of those that hold it."""
    return [set(visit) for visit in visits if product in visit][-newest:]


@examples(150)
@given(
    VISITS,
    st.integers(1, 30),
    st.permutations(range(len(NAMES))).map(lambda each: each[:4]),
    st.permutations(range(len(NAMES))).map(lambda each: each[:5]),
)
def test_visits_that_hold_both_are_counted_in_those_of_the_rarer(
    visits: list[list[int]], newest: int, some: list[int], others: list[int]
) -> None:
    model = model_of(visits, newest)
    support = [sum(product in visit for visit in visits) for product in range(len(NAMES))]
    for _ in range(2):  # nothing of a call is left for the next
        found = model.count_visits([NAMES[each] for each in some], [*(NAMES[each] for each in others), "new"])
    for row, one in enumerate(some):
        for column, other in enumerate(others):
            rarer, commoner = sorted((one, other), key=lambda each: (support[each], each))
            whole = sum(commoner in visit for visit in visits_of(visits, rarer, newest))
            assert found[row, column] == (0 if one == other else whole)
            if support[rarer] <= newest and one != other:
                assert found[row, column] == sum({one, other} <= set(visit) for visit in visits)
    assert not found[:, -1].any()


@examples(100)
@given(VISITS, st.integers(1, 30), st.integers(0, len(NAMES) - 1))
def test_what_stands_beside_a_product_is_all_that_its_visits_hold(
    visits: list[list[int]], newest: int, product: int
) -> None:
    model = model_of(visits, newest)
    for _ in range(2):
        numbers, counts, of = model.count_beside(product)
    held = visits_of(visits, product, newest)
    others = set().union(*held) - {product}
    assert of == len(held)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {
        other: sum(other in visit for visit in held) for other in others
    }


@examples(100)
@given(VISITS, st.lists(st.integers(-1, 2), min_size=len(NAMES), max_size=len(NAMES)))
def test_groups_are_counted_once_a_visit(visits: list[list[int]], groups: list[int]) -> None:
    found = model_of(visits, 100).count_groups(np.array(groups, dtype=np.int32), 3)
    held = [{groups[product] for product in visit} for visit in visits]
    for one in range(3):
        for other in range(3):
            assert found[one, other] == sum({one, other} <= each for each in held)
