"""The Faust table of sessions, whose changelog is written where the broker's word can be waited for."""

from collections.abc import Iterator

from faust.types import TableT

from schemas.sessions import Session, decode


class SessionTable:
    """visitor_id (bytes) → Session (MessagePack bytes), kept in memory and in a changelog topic.

    Faust's own `table[key] = value` sends the change without telling when it has arrived; an offset could
    then be committed before. `put` and `remove` only store: who calls them writes the same to `changelog`.
    """

    def __init__(self, table: TableT[bytes, bytes]) -> None:
        self._table = table

    @property
    def changelog(self) -> str:
        """The topic that the table is recovered from: as many partitions as `events`, so the same ones."""
        return str(self._table.changelog_topic.get_topic_name())

    def raw(self, visitor: bytes) -> bytes | None:
        """The stored bytes of a visitor's session."""
        stored: bytes | None = self._table.data.get(visitor)
        return stored

    def get(self, visitor: bytes) -> Session:
        """A visitor's session, empty for a new one; one in the former form has events only."""
        stored = self.raw(visitor)
        return Session(visitor.decode()) if stored is None else decode(stored)

    def partition_of(self, visitor: bytes) -> int | None:
        """The partition that a recovered entry came from; Faust's memory store keeps it beside the data."""
        partitions: dict[bytes, int] = getattr(self._table.data, "_key_partition")  # noqa: B009
        return partitions.get(visitor)

    def put(self, visitor: bytes, value: bytes) -> None:
        """Stores a session."""
        self._table.data[visitor] = value

    def remove(self, visitor: bytes) -> None:
        """Forgets a session."""
        self._table.data.pop(visitor, None)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries held by this worker."""
        return iter(list(self._table.data.items()))
