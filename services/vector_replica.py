"""A local replica of `product-vectors`: rows of two bytes a component, by product number.

A component lies within ±1, so its row holds it as a whole number of steps. That is as exact as float16, and
is float32 again in a quarter of the time: numpy converts float16 numbers one by one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.products import Product
from schemas.vectors import Layout, Matrix, ProductVectors, Vector
from services.product_numbers import UNKNOWN, Column, Ints, Numbering, ProductNumbers

Rows = npt.NDArray[np.int16]

STEPS: Final = 32_767  # a component of 1
FIRST_ROWS: Final = 1024


class ReplicaColumns(NamedTuple):
    """All of a replica: rows, and by product number the row and the top-level category (a place in names)."""

    rows: Rows
    row_of: Ints
    category_of: Ints
    categories: tuple[str, ...]


class VectorReplica:
    """Product vectors, in one growing matrix; removed rows are used again.

    One thread writes, another may read: a row is complete before its product points to it. `numbers` is the
    numbering it shares with others, its own where there are none.
    """

    def __init__(self, layout: Layout, numbers: ProductNumbers | None = None) -> None:
        self._layout = layout
        self.numbers = ProductNumbers() if numbers is None else numbers
        self._rows: Rows = np.zeros((FIRST_ROWS, layout.width), dtype=np.int16)
        self._row_of = Column(self.numbers, np.int32, UNKNOWN)
        self._category_of = Column(self.numbers, np.int32, UNKNOWN)
        self._categories = Numbering()  # top-level ones
        self._free: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, product_id: str) -> bool:
        return bool(self._row_of.at(self.numbers.find(product_id)) != UNKNOWN)

    @property
    def product_ids(self) -> tuple[str, ...]:
        """All products that have a vector."""
        everyone = np.arange(len(self.numbers), dtype=np.int32)
        return tuple(self.numbers.ids(everyone[self._row_of.take(everyone) != UNKNOWN]))

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
        number = self.numbers.number(product.product_id)
        former = int(self._row_of.at(number))
        self._category_of.put(number, self._categories.number(product.top_category))
        self._row_of.put(number, row)
        self.numbers.record_change(number)
        if former == UNKNOWN:
            self._count += 1
        else:
            self._free.append(former)

    def remove(self, product_id: str) -> None:
        """Forgets a product; unknown ids are none of its business."""
        number = self.numbers.find(product_id)
        row = int(self._row_of.at(number))
        if row == UNKNOWN:
            return
        self._row_of.put(number, UNKNOWN)
        self._category_of.put(number, UNKNOWN)
        self.numbers.record_change(number)
        self._free.append(row)
        self._count -= 1

    def columns(self) -> ReplicaColumns:
        """What is held now. Its rows are the replica's own: not to be read while it changes."""
        everyone = np.arange(len(self.numbers), dtype=np.int32)
        rows = self._rows[: self._count + len(self._free)]
        return ReplicaColumns(
            rows, self._row_of.take(everyone), self._category_of.take(everyone), self._categories.names
        )

    def restore(self, columns: ReplicaColumns) -> None:
        """Takes what another has held, products being numbered alike; into an empty replica only."""
        everyone = np.arange(len(columns.row_of), dtype=np.int32)
        used = columns.row_of[columns.row_of != UNKNOWN]
        self._categories.number_all(columns.categories)
        self._rows = columns.rows if len(columns.rows) else self._rows
        self._row_of.put_all(everyone, columns.row_of)
        self._category_of.put_all(everyone, columns.category_of)
        self._free = np.setdiff1d(np.arange(len(columns.rows), dtype=np.int32), used).tolist()
        self._count = len(used)

    def rows_of(self, numbers: Ints) -> tuple[Rows, Ints]:
        """All rows there are, (rows, width) in steps, and which of them the products have: UNKNOWN for none.

        As they are at this moment: not to be kept.
        """
        return self._rows, self._row_of.take(numbers)

    def has_vectors(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        """(n,) which of these products have a vector."""
        found: npt.NDArray[np.bool_] = self._row_of.take(numbers) != UNKNOWN
        return found

    def matrix(self, product_ids: Sequence[str]) -> tuple[Matrix, list[bool]]:
        """The vectors of several products as (n, width) float32 in steps, and which of them are known.

        The row of an unknown product is all zero.
        """
        matrix, known = self.matrix_of(self.numbers.find_all(product_ids))
        return matrix, known.tolist()

    def matrix_of(self, numbers: Ints) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """The same by product number."""
        rows = self._row_of.take(numbers)
        known = rows != UNKNOWN
        matrix = self._rows.take(rows, axis=0, mode="clip").astype(np.float32)
        if not known.all():
            matrix[~known] = 0
        return matrix, known

    def units(self, product_ids: Sequence[str]) -> Matrix:
        """The vectors of several products as (n, width) float32; zeros for an unknown one."""
        return self.units_of(self.numbers.find_all(product_ids))

    def units_of(self, numbers: Ints) -> Matrix:
        """The same by product number."""
        matrix, _ = self.matrix_of(numbers)
        matrix *= np.float32(1 / STEPS)
        return matrix

    def vector(self, product_id: str) -> Vector | None:
        """The product's vector as (width,) float32, or None."""
        row = int(self._row_of.at(self.numbers.find(product_id)))
        return None if row == UNKNOWN else self._rows[row].astype(np.float32) / np.float32(STEPS)

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """The first step of each product's category path, or None for an unknown product."""
        name = self._categories.id
        codes = self._category_of.take(self.numbers.find_all(product_ids)).tolist()
        return [None if code == UNKNOWN else name(code) for code in codes]

    def category_codes(self, numbers: Ints) -> Ints:
        """(n,) a number for each product's top-level category, UNKNOWN for a product without a vector."""
        return self._category_of.take(numbers)

    def category_code(self, category: str) -> int:
        """The number of a top-level category, UNKNOWN for one that no product ever had."""
        return self._categories.find(category)

    def _next_row(self) -> int:
        row = self._count + len(self._free)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        return row
