"""Records whose headers have names that are no UTF-8: aiokafka ends with them, and at every restart again.

Java writes no such names; librdkafka takes any bytes, so kcat on a terminal in Latin-1 does. Only such a
batch is read again by aiokafka's reader in Python, with replacements for what is no letter.
"""

from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_HEAD: Final = 12  # bytes of a batch before those that its length counts: base offset and length
_MAGIC: Final = 16  # where the version of a batch's format lies; headers came with 2


class TolerantRecords:
    """A fetched part of a partition, as aiokafka's MemoryRecords is."""

    def __init__(self, raw: bytes) -> None:
        self._raw = memoryview(raw)
        self._records: Any = MemoryRecords(raw)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Of all batches."""
        return len(self._raw)

    def has_next(self) -> bool:
        """Whether another whole batch is there."""
        return bool(self._records.has_next())

    def next_batch(self) -> "TolerantBatch | None":
        """The next batch."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        end = self._at + _HEAD + int.from_bytes(self._raw[self._at + 8 : self._at + _HEAD])
        raw, self._at = self._raw[self._at : end], end
        return TolerantBatch(batch, raw)


class TolerantBatch:
    """One batch; what is asked of it but for its records is answered by aiokafka's own."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401 - compiled, and has no type
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401 - of control batches, which have no headers
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            if self._raw[_MAGIC] < 2:
                raise
        batch = _DefaultRecordBatchPy(bytes(self._raw))
        batch._maybe_uncompress()
        batch._buffer = _Buffer(batch._buffer)
        return iter(list(batch))


class _Buffer(bytes):
    """The records' bytes, whose pieces are texts whatever they hold."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401
        found = super().__getitem__(place)
        return _Piece(found) if isinstance(place, slice) else found


class _Piece(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def install() -> None:
    """Lets aiokafka's consumers of this process read so."""
    fetcher.MemoryRecords = TolerantRecords
