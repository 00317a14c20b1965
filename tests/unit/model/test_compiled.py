"""Compiled ahead of time or as it runs: compiled code gets the arrays that it was compiled for, or none."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from numba import types

from services.model import candidates, co_visits, forest
from services.model.compiled import ENTRIES, Native, describe, fits, read_kind
from services.recommender.pipeline import candidate_list, diversity
from services.recommender.pipeline.native import tell_kind

INTS: Final = {"dtype": "int32", "dimensions": 1}
ROWS: Final = {"dtype": "float32", "dimensions": 2}


class Pair(NamedTuple):
    one: Any
    other: Any


@pytest.mark.parametrize(
    ("value", "told", "answer"),
    [
        (np.zeros(2, np.int32), INTS, True),
        (np.zeros(2, np.int64), INTS, False),
        (np.zeros((2, 2), np.int32), INTS, False),
        (np.zeros(4, np.int32)[::2], INTS, False),
        ([1, 2], INTS, False),
        (np.zeros((2, 3), np.float32), ROWS, True),
        (np.zeros((2, 3), np.float32).T, ROWS, False),
        (Pair(np.zeros(1, np.int32), np.zeros((1, 1), np.float32)), [INTS, ROWS], True),
        (Pair(np.zeros(1, np.int32), np.zeros(1, np.float32)), [INTS, ROWS], False),
        ((np.zeros(1, np.int32),), [INTS, ROWS], False),
        (3, "int64", True),
        (np.float32(3), "float64", True),
        (np.zeros(1), "float64", False),
    ],
)
def test_what_fits_is_as_it_was_compiled_for(value: object, told: object, answer: bool) -> None:
    assert fits(value, read_kind(told)) is answer


def test_a_call_goes_to_the_kind_that_fits() -> None:
    double = native([[INTS], [ROWS]]).find("double")
    assert double(np.zeros(1, np.int32)) == "first"
    assert double(np.zeros((1, 1), np.float32)) == "second"


def test_what_nothing_was_compiled_for_is_refused_and_told() -> None:
    double = native([[INTS], [ROWS]]).find("double")
    with pytest.raises(TypeError, match=r"double was not compiled for \['int64\[1\]'\]"):
        double(np.zeros(1, np.int64))
    with pytest.raises(TypeError, match="was not compiled"):
        double(np.zeros(1, np.int32), 1)


def test_without_a_module_numba_compiles() -> None:
    assert Native.load("services.model.no_such_module") is None


def test_arguments_are_told_as_people_read_them() -> None:
    value = (Pair(np.zeros(1, np.int32), np.zeros((2, 2)).T), 1)
    assert describe(value) == "((int32[1], float64[2, not in C's order]), int)"


def test_images_have_every_function_that_python_calls() -> None:
    called = (
        *(candidates.generate, co_visits.count_beside, co_visits.count_visits, co_visits.count_groups),
        *(forest.score_trees, forest.score_masked, candidate_list._dot_products, candidate_list.distinct),
        diversity._interleave,
    )
    assert set(ENTRIES) == {each.__name__ for each in called}


def test_what_was_compiled_is_told_as_it_is_read() -> None:
    pair = types.NamedTuple([types.int32[::1], types.float32[:, ::1]], Pair)  # type: ignore[no-untyped-call]
    assert tell_kind(pair) == [INTS, ROWS]
    assert tell_kind(types.int64) == "int64"
    with pytest.raises(ValueError, match="must lie in C's order"):
        tell_kind(types.int32[:])


def native(kinds: Sequence[Sequence[object]]) -> Native:
    """A module that says which of its functions was called."""
    module = ModuleType("native")
    vars(module).update(double__0=lambda _: "first", double__1=lambda _: "second")
    return Native(module, {"double": [[*each] for each in kinds]})
