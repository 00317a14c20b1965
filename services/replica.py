"""A local replica of `product-vectors`: float16 rows, and product id → row."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.products import Product
from schemas.vectors import Layout, ProductVectors, Vector, decode

Rows = npt.NDArray[np.float16]

FIRST_ROWS: Final = 1024


class VectorReplica:
    """Product vectors by id, in one growing float16 matrix; removed rows are used again.

    One thread writes, another may read: a row is complete before its id points to it.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: npt.NDArray[np.float16] = np.zeros((FIRST_ROWS, layout.width), dtype=np.float16)
        self._row_of: dict[str, int] = {}
        self._category_of: dict[str, str] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, product_id: str) -> bool:
        return product_id in self._row_of

    def apply(self, product_id: str, value: bytes | None) -> ProductVectors | None:
        """Takes one message of the topic; None is a tombstone. Raises LayoutMismatch for foreign vectors."""
        if value is None:
            self.remove(product_id)
            return None
        vectors = decode(value)
        self._layout.require(vectors.layout, "the topic product-vectors")
        self.put(vectors.product, np.frombuffer(vectors.content, dtype="<f2"))
        return vectors

    def put(self, product: Product, content: npt.NDArray[np.float16]) -> None:
        """Sets a product's vector, (width,) float16."""
        row = self._free.pop() if self._free else self._next_row()
        self._rows[row] = content
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

    def matrix(self, product_ids: Sequence[str]) -> tuple[Rows, list[bool]]:
        """The vectors of several products as (n, width) float16, and which of them are known.

        The row of an unknown product is all zero.
        """
        rows = [self._row_of.get(product_id) for product_id in product_ids]
        known = [row is not None for row in rows]
        matrix = self._rows[[row or 0 for row in rows]]
        if not all(known):
            matrix[np.logical_not(known)] = 0
        return matrix, known

    def vector(self, product_id: str) -> Vector | None:
        """The product's vector as (width,) float32, or None."""
        row = self._row_of.get(product_id)
        return None if row is None else self._rows[row].astype(np.float32)

    def top_category(self, product_id: str) -> str | None:
        """The first step of the product's category path, or None for an unknown product."""
        return self._category_of.get(product_id)

    def _next_row(self) -> int:
        row = len(self._row_of) + len(self._free)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        return row
