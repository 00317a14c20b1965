"""Changes a book by way of its topic, and waits until this process has read the change back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from schemas.experiments import Experiment
from schemas.rules import Rule
from schemas.topics import Topic
from services.recommender.timed_book import TimedBook

APPLIED_WITHIN_S: Final = 2.0

Publish = Callable[[Topic, str, bytes | None], Awaitable[None]]  # topic, key, message (None: a tombstone)
E = TypeVar("E", Rule, Experiment)


class BookKeeper(Generic[E]):
    """Writes to one book's topic. The book itself changes only by what is read: all recommenders alike."""

    def __init__(
        self,
        topic: Topic,
        book: TimedBook[E],
        encode: Callable[[E], bytes],
        publish: Publish,
        clock: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._book: TimedBook[E] = book
        self._encode: Callable[[E], bytes] = encode
        self._publish = publish
        self._clock = clock
        self._newest = 0

    def stamped(self, entries: Mapping[str, E]) -> dict[str, E]:
        """The entries with an `updated_at` of now, or just after what they replace: it only grows."""
        known = [entry.updated_at for name in entries if (entry := self._book.get(name)) is not None]
        self._newest = max(int(self._clock()), self._newest + 1, *(each + 1 for each in known))
        return {
            name: msgspec.structs.replace(entry, updated_at=self._newest) for name, entry in entries.items()
        }

    async def put(self, stamped: Mapping[str, E]) -> bool:
        """Whether the book has them; False when Kafka has, but it was not read back in time.

        Raises what `publish` does when Kafka does not acknowledge.
        """
        await self._published((name, self._encode(entry)) for name, entry in stamped.items())

        def is_read(name: str) -> bool:
            known = self._book.get(name)
            return known is not None and known.updated_at >= stamped[name].updated_at

        return await self._read(lambda: all(map(is_read, stamped)))

    async def delete(self, names: Sequence[str]) -> bool:
        """Whether the book is without them; else as `put`."""
        await self._published((name, None) for name in names)
        return await self._read(lambda: all(self._book.get(name) is None for name in names))

    async def _published(self, messages: Iterable[tuple[str, bytes | None]]) -> None:
        sends = (self._publish(self._topic, name, message) for name, message in messages)
        for outcome in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _read(self, done: Callable[[], bool]) -> bool:
        heard = asyncio.Event()
        with self._book.watched(heard.set):
            try:
                async with asyncio.timeout(APPLIED_WITHIN_S):
                    while not done():
                        heard.clear()
                        await heard.wait()
            except TimeoutError:
                return False
        return True
