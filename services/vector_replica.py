"""A local replica of `product-vectors`: rows of two bytes a component, and product id → row.

A component lies within ±1, so its row holds it as a whole number of steps. That is as exact as float16, and
is float32 again in a quarter of the time: numpy converts float16 numbers one by one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.products import Product
from schemas.vectors import Layout, Matrix, ProductVectors, Vector

STEPS: Final = 32_767  # a component of 1
FIRST_ROWS: Final = 1024


class VectorReplica:
    """Product vectors by id, in one growing matrix; removed rows are used again.

    One thread writes, another may read: a row is complete before its id points to it.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: npt.NDArray[np.int16] = np.zeros((FIRST_ROWS, layout.width), dtype=np.int16)
        self._row_of: dict[str, int] = {}
        self._category_of: dict[str, str] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, product_id: str) -> bool:
        return product_id in self._row_of

    @property
    def product_ids(self) -> tuple[str, ...]:
        """All products that have a vector."""
        return tuple(self._row_of)

    def apply(self, product_id: str, vectors: ProductVectors | None) -> bool:
        """Takes one message of the topic, None for a tombstone; whether the product has a vector now.

        Raises LayoutMismatch for foreign vectors.
        """
        if vectors is None:
            self.remove(product_id)
            return False
        self._layout.require(vectors.layout, "the topic product-vectors")
        self.put(vectors.product, np.frombuffer(vectors.content, dtype="<f2"))
        return True

    def put(self, product: Product, content: npt.NDArray[np.float16]) -> None:
        """Sets a product's vector, (width,) float16 within ±1."""
        row = self._free.pop() if self._free else self._next_row()
        self._rows[row] = np.rint(np.clip(content.astype(np.float32), -1, 1) * STEPS)
        former = self._row_of.get(product.product_id)
        self._category_of[product.product_id] = product.top_category
        self._row_of[product.product_id] = row
        if former is not None:
            self._free.append(former)

    def remove(self, product_id: str) -> None:
        """Forgets a product; unknown ids are none of its business."""
        row = self._row_of.pop(product_id, None)
        self._category_of.pop(product_id, None)
        if row is not None:
            self._free.append(row)

    def matrix(self, product_ids: Sequence[str]) -> tuple[Matrix, list[bool]]:
        """The vectors of several products as (n, width) float32 in steps, and which of them are known.

        The row of an unknown product is all zero.
        """
        rows = list(map(self._row_of.get, product_ids))
        known = [row is not None for row in rows] if None in rows else [True] * len(rows)
        found = np.array([row or 0 for row in rows] if None in rows else rows, dtype=np.intp)
        matrix = self._rows.take(found, axis=0, mode="clip").astype(np.float32)
        if None in rows:
            matrix[np.logical_not(known)] = 0
        return matrix, known

    def units(self, product_ids: Sequence[str]) -> Matrix:
        """The vectors of several products as (n, width) float32; zeros for an unknown one."""
        matrix, _ = self.matrix(product_ids)
        matrix *= np.float32(1 / STEPS)
        return matrix

    def vector(self, product_id: str) -> Vector | None:
        """The product's vector as (width,) float32, or None."""
        row = self._row_of.get(product_id)
        return None if row is None else self._rows[row].astype(np.float32) / np.float32(STEPS)

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """The first step of each product's category path, or None for an unknown product."""
        return list(map(self._category_of.get, product_ids))

    def _next_row(self) -> int:
        row = len(self._row_of) + len(self._free)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        return row
