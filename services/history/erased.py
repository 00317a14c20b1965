"""Who is to be forgotten: the topic `erasures`, which every reader of history reads whole first."""

from dataclasses import dataclass, field

import msgspec

from schemas import erasures
from schemas.topics import ERASURES
from services.history.past import HistoryReader, PastMessage


@dataclass(slots=True)
class Erasures:
    """`until`: visitor → Unix ms up to which all is left out. `unreadable` counts messages that are none."""

    until: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def leave_out(self, visitor_id: str, *stamps: int | None) -> bool:
        """Whether something that a visitor did, with all its stamps (Unix ms), is to be left out."""
        until = self.until.get(visitor_id)
        return until is not None and earliest(*stamps) <= until


def read(reader: HistoryReader) -> Erasures:
    """All that holds now. An erasure that cannot be read counts up to when it was sent."""
    found = Erasures()
    for messages in reader.read(reader.spans(ERASURES)):
        for message in messages:
            _take(found, message)
    return found


def _take(found: Erasures, message: PastMessage) -> None:
    visitor_id = (message.key() or b"").decode("ascii", "replace")
    value = message.value()
    if value is None:  # it was taken back
        found.until.pop(visitor_id, None)
        return
    try:
        erased_at = erasures.decode(value).erased_at
    except msgspec.MsgspecError:
        found.unreadable += 1
        erased_at = int(message.timestamp()[1])
    found.until[visitor_id] = max(found.until.get(visitor_id, 0), erased_at)


def earliest(*stamps: int | None) -> int:
    """The earliest of a message's stamps: a clock that runs ahead saves nothing from erasure."""
    return min(stamp for stamp in stamps if stamp is not None and stamp >= 0)
