"""Erasing a visitor: who is to be forgotten, by the topic `erasures`, and what is written to forget somebody.

Every reader of history reads that topic whole first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas import erasures
from schemas.erasures import Erasure
from schemas.sessions import ERASED_AT
from schemas.topics import ERASURES, IDENTITIES, Topic
from schemas.unreadable import Unreadable
from services.kafka.clients import OutgoingMessage
from services.kafka.messages import ERASURE, decode, header_ms
from services.kafka.ranges import HistoryReader, TopicMessage, open_reader
from services.settings import ServiceSettings
from services.visitors import identity_graph
from services.visitors.identity_graph import IdentityGraph


@dataclass(slots=True)
class Erasures:
    """`until`: visitor → Unix ms up to which all is left out. `unreadable` counts messages that are none."""

    until: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def leave_out(self, visitor_id: str, *stamps: int | None) -> bool:
        """Whether something that a visitor did, with all its stamps (Unix ms), is to be left out."""
        until = self.until.get(visitor_id)
        return until is not None and earliest(*stamps) <= until

    def of_persons(self, graph: IdentityGraph) -> "Erasures":
        """With one member of a person all of them are left out, up to the newest erasure of any.

        Of whom it is only claimed that they are one person, nobody is left out for another.
        """
        newest: dict[frozenset[str], int] = {}
        for visitor_id, until in self.until.items():
            person = graph.members(visitor_id, proven=True)
            newest[person] = max(until, newest.get(person, until))
        of_members = {member: until for person, until in newest.items() for member in person}
        return Erasures(of_members, self.unreadable)

    def take(self, message: TopicMessage) -> str:
        """Takes one message of the topic; the visitor that it is about.

        An erasure that cannot be read counts up to when it was sent. A tombstone takes one back.
        """
        read = decode(ERASURE, message)
        if isinstance(read, Unreadable):
            self.unreadable += 1
            visitor_id = (message.key() or b"").decode("ascii", "replace")
            erased_at = max(0, message.timestamp()[1])
        elif read.value is None:
            self.until.pop(read.key, None)
            return read.key
        else:
            visitor_id, erased_at = read.key, read.value.erased_at
        self.until[visitor_id] = max(self.until.get(visitor_id, 0), erased_at)
        return visitor_id


@dataclass
class PendingErasures(Erasures):
    """Erasures, and which of them a session processor has not confirmed yet.

    Until it has, what was folded before is left out; from then on its own word counts, whatever clocks say.
    """

    _awaited: dict[str, int] = field(default_factory=dict)  # visitor → Unix ms: older sessions count no more

    def take(self, message: TopicMessage) -> str:
        """Takes one message of the topic; the visitor that it is about."""
        visitor_id = super().take(message)
        until = self.until.get(visitor_id)
        if until is not None:
            self._awaited[visitor_id] = until
        else:
            self._awaited.pop(visitor_id, None)
        return visitor_id

    def hide(self, visitor_id: str, folded_at: float | None) -> bool:
        """Whether a session was folded (Unix ms) before its visitor's erasure."""
        until = self._awaited.get(visitor_id)
        return until is not None and (folded_at or 0.0) <= until

    def confirm(self, visitor_id: str, headers: Mapping[str, bytes | None]) -> None:
        """Takes the headers of a message of `sessions`: one that says what is left ends the waiting."""
        until = self._awaited.get(visitor_id)
        if until is not None and (header_ms(headers, ERASED_AT) or -1) >= until:
            del self._awaited[visitor_id]


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


@dataclass(frozen=True, slots=True)
class Person:
    """The visitors that are one person, in order, and those of them that a message on `identities` joins.

    `erased`: visitor → Unix ms of an earlier erasure.
    """

    visitor_ids: tuple[str, ...]
    joined: tuple[str, ...] = ()
    erased: Mapping[str, int] = field(default_factory=dict)

    def alone(self, visitor_id: str) -> "Person":
        """One visitor of the person, without the others."""
        return replace(
            self, visitor_ids=(visitor_id,), joined=tuple(each for each in self.joined if each == visitor_id)
        )


def person_of(settings: ServiceSettings, visitor_id: str, *, proven: bool = False) -> Person:
    """All visitors that are this one's person now, itself among them. Raises BrokerAway, TopicMissing.

    `proven`: only those of whom that is proven.
    """
    with open_reader(settings) as reader:
        graph, _ = identity_graph.read(reader, settings)
        erased = read(reader).until
    members = sorted(graph.members(visitor_id, proven=proven))
    return Person(
        tuple(members),
        tuple(each for each in members if graph.identity(each) is not None),
        {each: erased[each] for each in members if each in erased},
    )


def messages(
    person: Person, erased_at: int, reason: str | None = None
) -> list[tuple[Topic, list[OutgoingMessage]]]:
    """What erases a person, in the order in which it is to be written.

    First, what came up to `erased_at` (Unix ms) is forgotten; then nothing says any more that these visitors
    are one person. The other way round, a crash in between would leave visitors that nobody finds. An erasure
    is never older than the one that it replaces: the other's clock may be ahead.
    """
    erased = (
        Erasure(visitor_id=each, erased_at=max(erased_at, person.erased.get(each, 0)), reason=reason)
        for each in person.visitor_ids
    )
    forgotten: list[OutgoingMessage] = [
        (each.visitor_id.encode(), erasures.encode(each), []) for each in erased
    ]
    parted: list[OutgoingMessage] = [(each.encode(), None, []) for each in person.joined]
    return [(ERASURES, forgotten), (IDENTITIES, parted)]
