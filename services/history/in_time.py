"""The messages of a topic in the order in which the broker took them, over all its partitions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from heapq import merge
from operator import itemgetter

from services.history.past import HistoryReader, PastMessage, Span

Opened = Callable[[], AbstractContextManager[HistoryReader]]


def in_time(opened: Opened, spans: Sequence[Span]) -> Iterator[PastMessage]:
    """Merges one reader a partition; each partition stays in its own order, whatever its times say.

    A message that is older than one before it in its partition counts as old as that one.
    """
    with ExitStack() as stack:
        readers = [(stack.enter_context(opened()), span) for span in spans if len(span)]
        timed = [_timed(reader, span) for reader, span in readers]
        for _, message in merge(*timed, key=itemgetter(0)):
            yield message


def _timed(reader: HistoryReader, span: Span) -> Iterator[tuple[int, PastMessage]]:
    newest = 0
    for messages in reader.read([span]):
        for message in messages:
            newest = max(newest, message.timestamp()[1])
            yield newest, message
