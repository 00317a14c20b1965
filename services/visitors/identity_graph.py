"""Which visitors are one person: the newest identity of each visitor counts, whichever was read first."""

from collections import defaultdict

import msgspec

from schemas import identities
from schemas.identities import USER_PREFIX, Identity
from schemas.topics import IDENTITIES
from services.kafka.ranges import HistoryReader, TopicMessage


class IdentityGraph:
    """Visitors by user. A visitor belongs to the one user that was named last for it."""

    def __init__(self) -> None:
        self._identity: dict[str, Identity] = {}
        self._visitors: defaultdict[str, set[str]] = defaultdict(set)  # the user as a visitor → the others
        self._person: dict[str, str] = {}  # visitor → name, of persons that were asked for

    def __len__(self) -> int:
        return len(self._identity)

    def identity(self, visitor_id: str) -> Identity | None:
        """What is known of a visitor itself."""
        return self._identity.get(visitor_id)

    def put(self, visitor_id: str, identity: Identity | None) -> frozenset[str]:
        """Takes what is known of a visitor, None for nothing; the visitors whose person has changed."""
        if not self._is_news(visitor_id, identity):
            return frozenset()
        before = self.members(visitor_id)
        self._link(visitor_id, identity)
        after = self.members(visitor_id)
        return frozenset() if before == after else before | after

    def take(self, message: TopicMessage) -> bool:
        """Takes one message of `identities`; False where it cannot be read, or is of another key."""
        visitor_id, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
        try:
            identity = None if value is None else identities.decode(value, message.timestamp()[1])
        except msgspec.MsgspecError:
            return False
        if identity is not None and identity.visitor_id != visitor_id:
            return False
        # Not put(): to tell who has changed takes a walk through the person, too long for all of a topic.
        if self._is_news(visitor_id, identity):
            self._link(visitor_id, identity)
        return True

    def _is_news(self, visitor_id: str, identity: Identity | None) -> bool:
        known = self._identity.get(visitor_id)
        return known != identity and (identity is None or identity.replaces(known))

    def _link(self, visitor_id: str, identity: Identity | None) -> None:
        self._person.clear()
        known = self._identity.pop(visitor_id, None)
        if known is not None:
            self._part(visitor_id, known)
        if identity is not None:
            self._identity[visitor_id] = identity
            self._visitors[identity.user].add(visitor_id)

    def _part(self, visitor_id: str, known: Identity) -> None:
        together = self._visitors[known.user]
        together.discard(visitor_id)
        if not together:
            del self._visitors[known.user]

    def members(self, visitor_id: str) -> frozenset[str]:
        """All visitors that are this one's person, itself among them; a user is a visitor, too.

        A user may have become another user (an alias): then all of both are one person.
        """
        found, left = {visitor_id}, [visitor_id]
        while left:
            each = left.pop()
            near = set(self._visitors.get(each, ()))
            if (identity := self._identity.get(each)) is not None:
                near.add(identity.user)
            left += near - found
            found |= near
        return frozenset(found)

    def person(self, visitor_id: str) -> str:
        """One name for all members of the visitor's person: its first user, in order; of nobody else its own.

        Costs one walk a person, then a look-up: it is asked for each of millions of events.
        """
        if visitor_id not in self._identity and visitor_id not in self._visitors:
            return visitor_id  # most visitors; nothing is kept of them
        known = self._person.get(visitor_id)
        if known is None:
            members = self.members(visitor_id)
            known = min(members, key=lambda member: (not member.startswith(USER_PREFIX), member))
            self._person |= dict.fromkeys(members, known)
        return known


def read(reader: HistoryReader) -> tuple[IdentityGraph, int]:
    """Who is who now, by all of `identities`, and how many messages cannot be read."""
    graph, unreadable = IdentityGraph(), 0
    for messages in reader.read(reader.spans(IDENTITIES)):
        unreadable += sum(not graph.take(message) for message in messages)
    return graph, unreadable
