"""The Faust table of sessions, written so that the writer learns when the broker has it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from faust.types import ChannelT, HeadersArg, TableT

from schemas.sessions import Session, decode

Acknowledgement = asyncio.Future[object]


async def send(
    topic: ChannelT[bytes],
    *,
    key: bytes | None,
    value: bytes | None,
    partition: int | None = None,
    headers: HeadersArg | None = None,
) -> Acknowledgement:
    """Hands a message to the producer; the future is done when the broker has it."""
    sent = await topic.send(key=key, value=value, partition=partition, headers=headers)
    return cast(Acknowledgement, sent)


class SessionTable:
    """visitor_id (bytes) → Session (MessagePack bytes), kept in memory and in a changelog topic.

    Faust's own `table[key] = value` sends the change without telling when it has arrived; an offset could
    then be committed before. `put` sends it itself and hands back the acknowledgement.
    """

    def __init__(self, table: TableT[bytes, bytes]) -> None:
        self._table = table

    def raw(self, visitor: bytes) -> bytes | None:
        """The stored bytes of a visitor's session."""
        stored: bytes | None = self._table.data.get(visitor)
        return stored

    def get(self, visitor: bytes) -> Session:
        """A visitor's session, empty for a new one."""
        stored = self.raw(visitor)
        return Session(visitor.decode()) if stored is None else decode(stored)

    def partition_of(self, visitor: bytes) -> int | None:
        """The partition that a recovered entry came from; Faust's memory store keeps it beside the data."""
        partitions: dict[bytes, int] = getattr(self._table.data, "_key_partition")  # noqa: B009
        return partitions.get(visitor)

    async def put(self, visitor: bytes, value: bytes, partition: int) -> Acknowledgement:
        """Stores a session; the future is done when the changelog has it."""
        self._table.data[visitor] = value
        return await send(self._table.changelog_topic, key=visitor, value=value, partition=partition)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries held by this worker."""
        return iter(list(self._table.data.items()))


def when_all_done(
    futures: Sequence[Acknowledgement],
    then: Callable[[], object],
    otherwise: Callable[[BaseException], object],
) -> None:
    """Calls `then` once every future succeeded, or `otherwise` at the first that failed."""
    missing = len(futures)

    def one_done(future: Acknowledgement) -> None:
        nonlocal missing
        missing -= 1
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            otherwise(error)
        elif missing == 0:
            then()

    for future in futures:
        future.add_done_callback(one_done)
