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

    def take(self, message: PastMessage) -> str:
        """Takes one message of the topic; the visitor that it is about.

        An erasure that cannot be read counts up to when it was sent. A tombstone takes one back.
        """
        visitor_id = (message.key() or b"").decode("ascii", "replace")
        value = message.value()
        if value is None:
            self.until.pop(visitor_id, None)
            return visitor_id
        try:
            erased_at = erasures.decode(value).erased_at
        except msgspec.MsgspecError:
            self.unreadable += 1
            erased_at = int(message.timestamp()[1])
        self.until[visitor_id] = max(self.until.get(visitor_id, 0), erased_at)
        return visitor_id


def read(reader: HistoryReader) -> Erasures:
    """All that holds now."""
    found = Erasures()
    for messages in reader.read(reader.spans(ERASURES)):
        for message in messages:
            found.take(message)
    return found


def earliest(*stamps: int | None) -> int:
    """The earliest of a message's stamps: a clock that runs ahead saves nothing from erasure."""
    return min(stamp for stamp in stamps if stamp is not None and stamp >= 0)
