"""A visitor is to be forgotten: who that is, and what is written for it. Shared by ops and ingest."""

from dataclasses import dataclass

import msgspec

from schemas import erasures, identities
from schemas.erasures import Erasure
from schemas.topics import IDENTITIES
from services.history.partitions import reading
from services.history.past import HistoryReader
from services.history.people import People
from services.kafka import OutgoingMessage
from services.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Person:
    """The visitors that are one person, in order, and those of them that a message on `identities` joins."""

    visitor_ids: tuple[str, ...]
    joined: tuple[str, ...] = ()

    def alone(self, visitor_id: str) -> "Person":
        """One visitor of the person, without the others."""
        return Person((visitor_id,), tuple(each for each in self.joined if each == visitor_id))


def person_of(settings: ServiceSettings, visitor_id: str) -> Person:
    """All visitors that are this one's person now, itself among them. Raises BrokerAway, TopicMissing."""
    with reading(settings) as reader:
        people = people_of(reader)
    members = sorted(people.members(visitor_id))
    return Person(tuple(members), tuple(each for each in members if people.identity(each) is not None))


def messages(
    person: Person, erased_at: int, reason: str | None = None
) -> tuple[list[OutgoingMessage], list[OutgoingMessage]]:
    """For `erasures`: what came up to `erased_at` (Unix ms) is forgotten. Then for `identities`: nothing says
    any more that these visitors are one person.
    """
    erased = (Erasure(visitor_id=each, erased_at=erased_at, reason=reason) for each in person.visitor_ids)
    forgotten: list[OutgoingMessage] = [
        (each.visitor_id.encode(), erasures.encode(each), []) for each in erased
    ]
    parted: list[OutgoingMessage] = [(each.encode(), None, []) for each in person.joined]
    return forgotten, parted


def people_of(reader: HistoryReader) -> People:
    """Who is who now, by all of `identities`."""
    people = People()
    for batch in reader.read(reader.spans(IDENTITIES)):
        for message in batch:
            visitor_id, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
            try:
                people.put(visitor_id, None if value is None else identities.decode(value))
            except msgspec.MsgspecError:
                continue  # nobody else can read it either
    return people
