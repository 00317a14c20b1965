"""One numbering of products: a small integer for each id, columns of values by it, and which changed last.

Work on hundreds of products at a time is then a few operations on arrays instead of hundreds of look-ups.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from threading import Lock
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Value = TypeVar("Value", bound=np.generic)

UNKNOWN: Final = -1  # the number of a name that has none
CHANGES_KEPT: Final = 256  # so many of the newest are told one by one
FIRST_PRODUCTS: Final = 1024


class Numbering:
    """Name ↔ number, from 0 on. A number is never given to another name."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []

    def __len__(self) -> int:
        return len(self._ids)

    def number(self, name: str) -> int:
        """The name's number; a new one for a name that had none. One thread calls this."""
        found = self._numbers.get(name)
        if found is None:
            found = len(self._ids)
            self._ids.append(name)
            self._numbers[name] = found
        return found

    def number_all(self, names: Iterable[str]) -> Ints:
        """(n,) the number of each, new ones where there were none."""
        return np.array([self.number(name) for name in names], dtype=np.int32)

    def find(self, name: str) -> int:
        """The name's number, or UNKNOWN."""
        return self._numbers.get(name, UNKNOWN)

    def find_all(self, names: Sequence[str]) -> Ints:
        """(n,) the number of each, UNKNOWN where it has none."""
        found = map(self._numbers.get, names, repeat(UNKNOWN))
        return np.fromiter(found, np.int32, len(names))

    @property
    def names(self) -> tuple[str, ...]:
        """All that have a number, in order."""
        return tuple(self._ids)

    def id(self, number: int) -> str:
        """The name that has a number."""
        return self._ids[number]

    def ids(self, numbers: Ints) -> list[str]:
        """The names that have these numbers."""
        ids = self._ids
        return [ids[number] for number in numbers.tolist()]


class ProductNumbers(Numbering):
    """Of products by id, and which of them changed last."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: Ints = np.zeros(CHANGES_KEPT, np.int32)  # a ring
        self.changes = 0  # how many there were

    def record_change(self, number: int) -> None:
        """What is known of the product is different from now on."""
        self._changed[self.changes % CHANGES_KEPT] = number
        self.changes += 1

    def changes_since(self, changes: int) -> Ints:
        """(n,) what changed after the first so many changes, of the newest CHANGES_KEPT."""
        places = np.arange(max(changes, self.changes - CHANGES_KEPT), self.changes) % CHANGES_KEPT
        return self._changed[places]


class Column(Generic[Value]):
    """A value for each product number, `default` where none was put, and for UNKNOWN.

    One thread puts, others may take meanwhile.
    """

    def __init__(self, numbers: ProductNumbers, dtype: type[Value], default: float) -> None:
        self._numbers = numbers
        self._default = default
        self._values: npt.NDArray[Value] = np.full(FIRST_PRODUCTS, default, dtype)
        self._growth = Lock()  # a value is not to be put where another thread has copied already

    def put(self, number: int, value: float) -> None:
        """Sets the value of a product that has a number."""
        with self._growth:
            self._grow()
            self._values[number] = value

    def put_all(self, numbers: Ints, values: npt.NDArray[Value]) -> None:
        """Sets the (n,) values of products that have numbers."""
        with self._growth:
            self._grow()
            self._values[numbers] = values

    def take(self, numbers: Ints) -> npt.NDArray[Value]:
        """(n,) the values of these products."""
        if len(self._numbers) >= len(self._values):
            with self._growth:
                self._grow()
        return self._values[numbers]

    def at(self, number: int) -> float:
        """The value of one product."""
        return self._values[number].item() if number < len(self._values) else self._default

    def _grow(self) -> None:
        # The last place belongs to no product: it is what numpy takes for UNKNOWN, which is −1.
        while len(self._numbers) >= len(self._values):
            more = np.full(len(self._values), self._default, self._values.dtype)
            self._values = np.concatenate([self._values, more])
