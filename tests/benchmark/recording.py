"""What one window of load saw: every event that was sent, and every push that arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import msgspec

from schemas.live import Timing

ACCEPTED: Final = 202
_MARK: Final = b'"caused_by":"'


@dataclass(slots=True)
class SentEvent:
    """One event of the load. Times are `time.perf_counter` in seconds, NaN for what did not happen."""

    visitor: int
    event_id: str
    due: float
    first_byte: float = nan
    answered: float = nan
    status: int = 0
    product_id: str = ""
    occurred_at: int = 0  # Unix ms


class _Tail(msgspec.Struct):
    caused_by: str
    timing: Timing | None = None


_decoder = msgspec.json.Decoder(_Tail)


@dataclass(frozen=True, slots=True)
class Push:
    """A row that arrived, and the event that it names."""

    visitor: int
    at: float
    caused_by: str
    tail: bytes

    @classmethod
    def of(cls, visitor: int, at: float, message: bytes) -> "Push | None":
        """From a message of the live protocol, or None where no event caused it.

        Looked for from the end and not parsed: the generator shares its cores with what it measures. The
        fields after `items` are the last of the message (schemas/live.py).
        """
        start = message.rfind(_MARK)
        if start < 0:
            return None
        begin = start + len(_MARK)
        return cls(visitor, at, message[begin : message.index(b'"', begin)].decode(), message[start:])

    @property
    def timing(self) -> Timing:
        """The stations of the event on its way, as the services noted them."""
        timing = _decoder.decode(b"{" + self.tail).timing
        assert timing is not None  # every push has one
        return timing


@dataclass(frozen=True)
class Recording:
    """A whole window. `clock_offset_s` added to a time of `perf_counter` gives Unix time.

    `remembered` are ids of events that no push names, but the visitor's session holds in the end.
    """

    seconds: float
    began: float
    ended: float
    clock_offset_s: float
    events: Sequence[SentEvent]
    pushes: Sequence[Push]
    sockets_lost: int
    remembered: frozenset[str] = frozenset()
