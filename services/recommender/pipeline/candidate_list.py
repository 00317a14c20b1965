"""Candidates by product number with their scores, and dot products with their vectors. Compiled, pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from schemas.vectors import Vector
from services.model.compiled import compile_code
from services.model.session_index import Floats
from services.product_numbers import Ints, ProductNumbers
from services.recommender.index.port import Hit
from services.vector_replica import STEPS, Rows, VectorReplica

SCALE: Final = np.float32(1 / STEPS)


class CandidateList(NamedTuple):
    """Products (n,) by number, best first, and their scores (n,)."""

    numbers: Ints
    scores: Floats

    @classmethod
    def of(cls, hits: Sequence[Hit], numbers: ProductNumbers) -> Self:
        """From products by id."""
        return cls(
            numbers.number_all(hit.product_id for hit in hits),
            np.array([hit.score for hit in hits], dtype=np.float32),
        )

    def only(self, mask: npt.NDArray[np.bool_], most: int) -> "CandidateList":
        """The first so many of those that are in the mask, (n,)."""
        places = np.flatnonzero(mask)[:most]
        return CandidateList(self.numbers[places], self.scores[places])


def dot_products(replica: VectorReplica, numbers: Ints, query: Vector) -> Floats:
    """(n,) the dot product of each product's vector with a (width,) query; 0 for one without a vector."""
    rows, places = replica.rows_of(numbers)
    return _dot_products(rows, places, query)


@compile_code(is_entry=True)
def _dot_products(rows: Rows, places: Ints, query: Vector) -> Floats:
    found = np.zeros(len(places), np.float32)
    for nth in range(len(places)):
        if places[nth] >= 0:
            found[nth] = _dot(rows[places[nth]], query) * SCALE
    return found


@compile_code(fastmath=True)
def _dot(row: Rows, query: Vector) -> np.float32:
    total = np.float32(0)
    for at in range(len(query)):
        total += np.float32(row[at]) * query[at]
    return total


@compile_code(is_entry=True)
def distinct(numbers: Ints, count: int) -> Ints:
    """(n,) of numbers below `count` each once, where it comes first."""
    is_met = np.zeros(count, np.bool_)
    found = np.empty(len(numbers), np.int32)
    met = 0
    for number in numbers:
        if not is_met[number]:
            is_met[number] = True
            found[met] = number
            met += 1
    return found[:met]
