"""What the trainer keeps of events: columns that grow by millions of rows without a Python object a row."""

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.sessions import KIND_OF, identity
from services.history.past_events import PastEvent

# An identity has 16 or 17 bytes; with its length behind it no trailing zero is lost to numpy, and the order
# of the column is that of the identities.
ID_BYTES: Final = 18
ID: Final = np.dtype(f"S{ID_BYTES}")


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """A row for each product of each event, in the order they came, repetitions included.

    `visitors` and `items` (n,) int32 are places in `visitor_ids` and `product_ids`; `event_ids` (n,) are the
    ids' identities; `times` (n,) int64 are Unix ms (occurred_at); `types` (n,) uint8 are places in
    schemas.sessions.KINDS.
    """

    visitor_ids: Sequence[str]
    product_ids: Sequence[str]
    visitors: npt.NDArray[np.int32]
    event_ids: npt.NDArray[np.bytes_]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    types: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.times)


class GrowingColumns:
    """Takes events of the given types, and forgets all others and those without a product."""

    def __init__(self, types: Collection[str]) -> None:
        self._kinds = {type_: kind for type_, kind in KIND_OF.items() if type_ in types}
        self._visitor_places: dict[str, int] = {}
        self._product_places: dict[str, int] = {}
        self._visitors = array("i")
        self._ids = bytearray()
        self._items = array("i")
        self._times = array("q")
        self._types = array("B")

    def __len__(self) -> int:
        return len(self._times)

    def extend(self, events: Iterable[PastEvent]) -> None:
        """Takes some more events."""
        visitor_places, product_places = self._visitor_places, self._product_places
        for event in events:
            kind = self._kinds.get(event.type)
            if kind is None:
                continue
            for product_id in event.products():
                self._visitors.append(visitor_places.setdefault(event.visitor_id, len(visitor_places)))
                self._ids += packed(event.event_id)
                self._items.append(product_places.setdefault(product_id, len(product_places)))
                self._times.append(event.occurred_at)
                self._types.append(kind)

    def columns(self) -> EventColumns:
        """All that was taken, as arrays."""
        return EventColumns(
            tuple(self._visitor_places),
            tuple(self._product_places),
            _array(self._visitors, np.int32),
            _array(self._ids, ID),
            _array(self._items, np.int32),
            _array(self._times, np.int64),
            _array(self._types, np.uint8),
        )


def packed(event_id: str) -> bytes:
    """An event id as `EventColumns.event_ids` holds it."""
    number = identity(event_id)
    return number.ljust(ID_BYTES - 1, b"\0") + bytes([len(number)])


def _array(column: "array[int] | bytearray", kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(column, dtype=kind).copy() if column else np.zeros(0, dtype=kind)
