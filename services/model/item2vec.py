"""Product vectors learned from sessions: IN for what was looked at, OUT for what comes with it. Pure.

Skip-gram with negative sampling (Mikolov et al. 2013; Barkan and Koenigstein's item2vec, 2016) has two
vectors a product. IN · OUT is what training makes large for products of one session, so the session's IN
vectors are the query and the OUT vectors are searched.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from services.model.session_index import Floats, Ints, read_only

BLOCK: Final = 2048  # rows of the all-to-all product held at a time


class Item2Vec(NamedTuple):
    """Read-only arrays: IN and OUT (products, width) float32, and what is nearest, (products, k) int32.

    `units_in` and `units_out` are IN and OUT at length 1. `nearest[p]` are the products of greatest
    IN(p) · OUT, best first. A product without vectors has rows of zeros.
    """

    vectors_in: Floats
    vectors_out: Floats
    units_in: Floats
    units_out: Floats
    nearest: Ints

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From the arrays of an artifact."""
        vectors_in, vectors_out = arrays["item2vec_in"], arrays["item2vec_out"]
        return cls(
            *map(
                read_only,
                (vectors_in, vectors_out, units(vectors_in), units(vectors_out), arrays["item2vec_nearest"]),
            )
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For an artifact; unit vectors follow from the others."""
        return {
            "item2vec_in": self.vectors_in,
            "item2vec_out": self.vectors_out,
            "item2vec_nearest": self.nearest,
        }


def build_item2vec(vectors_in: Floats, vectors_out: Floats, k: int) -> Item2Vec:
    """With the k nearest of each product, found by comparing all with all."""
    nearest = all_nearest(vectors_in, vectors_out, min(k, len(vectors_in)))
    return Item2Vec(
        *map(read_only, (vectors_in, vectors_out, units(vectors_in), units(vectors_out), nearest))
    )


def units(vectors: Floats) -> Floats:
    """Rows at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return found


def all_nearest(queries: Floats, vectors: Floats, k: int) -> Ints:
    """(n, k) for each query the rows of `vectors` of greatest dot product, best first."""
    found = np.empty((len(queries), k), dtype=np.int32)
    for begin in range(0, len(queries), BLOCK):
        products = queries[begin : begin + BLOCK] @ vectors.T
        best = np.argpartition(-products, k - 1, axis=1)[:, :k] if k < products.shape[1] else _all(products)
        order = np.argsort(-np.take_along_axis(products, best, 1), axis=1, kind="stable")
        found[begin : begin + BLOCK] = np.take_along_axis(best, order, 1)
    return found


def _all(products: Floats) -> npt.NDArray[np.intp]:
    rows: npt.NDArray[np.intp] = np.tile(np.arange(products.shape[1]), (len(products), 1))
    return rows
