"""The Faust table of sessions, whose changelog is written where the broker's word can be waited for."""

from collections.abc import Iterator

import structlog
from faust.types import TableT

from schemas.sessions import Session, decode
from schemas.unreadable import Unreadable
from services.logging import hash_visitor

log = structlog.get_logger()


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

    def set_partitions(self, count: int) -> None:
        """So many the changelog is created with, where it is not there yet."""
        self._table.changelog_topic.partitions = count

    def raw(self, visitor: bytes) -> bytes | None:
        """The stored bytes of a visitor's session."""
        stored: bytes | None = self._table.data.get(visitor)
        return stored

    def get(self, visitor: bytes) -> Session:
        """A visitor's session, empty for a new one; one in the former form has events only.

        What somebody else wrote to the changelog and cannot be read is none.
        """
        stored = self.raw(visitor)
        known = None if stored is None else read_entry(visitor, stored)
        return Session(visitor.decode()) if known is None else known

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


def read_entry(visitor: bytes, stored: bytes) -> Session | None:
    """The session of a stored entry; None for what is none, or another visitor's."""
    try:
        session = decode(stored)
    except Unreadable as reason:
        log.warning(
            "a session in the table cannot be read: the visitor begins anew",
            reason=reason.for_log,
            visitor=hash_visitor(visitor),
        )
        return None
    return session if session.visitor_id.encode() == visitor else None
