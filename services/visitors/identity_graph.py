"""Which visitors are one person: the newest identity of each visitor counts, whichever was read first."""

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Self

from schemas.identities import USER_PREFIX, Identity
from schemas.topics import IDENTITIES
from schemas.unreadable import Unreadable
from services.kafka.messages import IDENTITY, decode
from services.kafka.ranges import HistoryReader, TopicMessage
from services.settings import PERSON_VISITORS_MAX, ServiceSettings

# Where a user has too many visitors, those of the greatest rank belong to the person.
Rank = tuple[bool, int, str]  # proven, when it became known (Unix ms), visitor


class PlaceholderIds:
    """Ids that stand for nobody, such as `undefined`, `guest`, `0`: all who have one would be one person."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """`patterns` in any case, with `*` for any text."""
        # Not fnmatch: `?` and `[object object]` are ids that are sent, no patterns of one character.
        told = (re.escape(each.strip().casefold()).replace(r"\*", ".*") for each in patterns)
        self._matches = re.compile("|".join(["", *told]), re.DOTALL).fullmatch

    def __contains__(self, user_id: str) -> bool:
        return self._matches(user_id.strip().casefold()) is not None


class Links:
    """Which links a walk follows. A user that became another one (an alias) can bring in any number."""

    def __init__(self, *, claims: bool = True, aliases: bool = True, claimed_aliases: bool = True) -> None:
        self._claims = claims
        self._aliases = aliases
        self._claimed_aliases = claimed_aliases

    def __contains__(self, identity: Identity) -> bool:
        if not identity.proven and not self._claims:
            return False
        if not identity.visitor_id.startswith(USER_PREFIX):
            return True
        return self._aliases and (identity.proven or self._claimed_aliases)


# A person that gets too large by one row of links is cut to that of the next, for all its members alike.
ALL: Final = (Links(), Links(claimed_aliases=False), Links(aliases=False))
PROVEN: Final = (Links(claims=False), Links(claims=False, aliases=False))


class IdentityGraph:
    """Visitors by user. A visitor belongs to the one user that was named last for it.

    An identity is a claim until it is proven; `members(…, proven=True)` follows proven ones only. Of one user
    at most `most` visitors belong to the person: the proven before claims, the newest before older, whatever
    order they came in. A join costs a walk through one person, however many have joined.
    """

    def __init__(self, most: int = PERSON_VISITORS_MAX, placeholders: PlaceholderIds | None = None) -> None:
        self._most = most
        self._placeholders = placeholders or PlaceholderIds()
        self._identity: dict[str, Identity] = {}
        self._user: dict[str, str] = {}  # visitor → its user as a visitor, which takes a while to tell
        self._ranked: defaultdict[str, list[Rank]] = defaultdict(list)  # the user as a visitor → the others
        self._person: dict[str, str] = {}  # visitor → name, of persons that were asked for
        # Of persons that were asked for: visitor → members, all of them and by proven links only.
        self._members: dict[str, frozenset[str]] = {}
        self._proven: dict[str, frozenset[str]] = {}
        self.left_out = 0  # visitors that are too many for their person

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Within the bounds of the settings."""
        return cls(settings.person_visitors_max, PlaceholderIds(settings.placeholders))

    def __len__(self) -> int:
        return len(self._identity)

    def identity(self, visitor_id: str) -> Identity | None:
        """What is known of a visitor itself."""
        return self._identity.get(visitor_id)

    def put(self, visitor_id: str, identity: Identity | None) -> frozenset[str]:
        """Takes what is known of a visitor, None for nothing.

        The visitors whose person has changed, or of whose person something else is proven now.
        """
        if not self._is_news(visitor_id, identity):
            return frozenset()
        known = self._identity.get(visitor_id)
        users = {each.user for each in (known, identity) if each is not None}
        near = {visitor_id, *users}.union(*map(self._at_the_bound, users))
        before = {each: self._both(each) for each in near}
        self._link(visitor_id, identity)
        # A person that is cut at an alias may be larger by proven links alone than by all.
        for members, proven in before.values():
            for each in members | proven:
                self._members.pop(each, None)
                self._proven.pop(each, None)
        changed: set[str] = set()
        for each, former in before.items():
            if former != (after := self._both(each)):
                changed = changed.union(*former, *after)
        return frozenset(changed)

    def take(self, message: TopicMessage) -> bool:
        """Takes one message of `identities`; False where it cannot be read, or is of another key."""
        read = decode(IDENTITY, message)
        if isinstance(read, Unreadable):
            return False
        # Not put(): to tell who has changed takes a walk through the person, too long for all of a topic.
        if self._is_news(read.key, read.value):
            self._link(read.key, read.value)
            self._members.clear()
            self._proven.clear()
        return True

    def _is_news(self, visitor_id: str, identity: Identity | None) -> bool:
        known = self._identity.get(visitor_id)
        if identity is None or known == identity:
            return known != identity
        is_placeholder = identity.user_id in self._placeholders or (
            visitor_id.removeprefix(USER_PREFIX) in self._placeholders
        )
        return identity.replaces(known) and not is_placeholder

    def _link(self, visitor_id: str, identity: Identity | None) -> None:
        self._person.clear()
        known = self._identity.pop(visitor_id, None)
        if known is not None:
            user = self._user.pop(visitor_id)
            together = self._ranked[user]
            self.left_out -= len(together) > self._most
            del together[bisect_left(together, _rank(known))]
            if not together:
                del self._ranked[user]
        if identity is not None:
            self._identity[visitor_id] = identity
            self._user[visitor_id] = identity.user
            together = self._ranked[identity.user]
            insort(together, _rank(identity))  # the newest goes to the end
            self.left_out += len(together) > self._most

    def _at_the_bound(self, user: str) -> list[str]:
        """The last of a user that belongs to the person, and the first that does not."""
        ranked = self._ranked.get(user, [])
        place = len(ranked) - self._most
        return [visitor for _, _, visitor in ranked[max(place - 1, 0) : place + 1]] if place >= 0 else []

    def members(self, visitor_id: str, *, proven: bool = False) -> frozenset[str]:
        """All visitors that are this one's person, itself among them; a user is a visitor, too.

        A user may have become another user (an alias): then all of both are one person. `proven`: only those
        of whom that is proven.
        """
        if visitor_id not in self._identity and visitor_id not in self._ranked:
            return frozenset({visitor_id})  # most visitors; nothing is kept of them
        kept = self._proven if proven else self._members
        if (members := kept.get(visitor_id)) is None:
            members = self._walk(visitor_id, PROVEN if proven else ALL)
            kept |= dict.fromkeys(members, members)
        return members

    def _both(self, visitor_id: str) -> tuple[frozenset[str], frozenset[str]]:
        return self.members(visitor_id), self.members(visitor_id, proven=True)

    def _walk(self, visitor_id: str, rows: Iterable[Links]) -> frozenset[str]:
        """By the first row of links that makes a person small enough; by the last it always is."""
        found = {visitor_id}
        for links in rows:
            found, left = {visitor_id}, [visitor_id]
            while left and len(found) <= self._most + 1:  # the user itself and its visitors
                near = set(self._near(left.pop(), links)) - found
                left += near
                found |= near
            if len(found) <= self._most + 1:
                break
        return frozenset(found)

    def _near(self, visitor_id: str, links: Links) -> Iterator[str]:
        identity = self._identity.get(visitor_id)
        if identity is not None and identity in links:
            user = self._user[visitor_id]
            together = self._ranked[user]
            if len(together) <= self._most or _rank(identity) >= together[-self._most]:
                yield user
        for _, _, other in self._ranked.get(visitor_id, [])[-self._most :]:
            if self._identity[other] in links:
                yield other

    def person(self, visitor_id: str) -> str:
        """One name for all members of the visitor's person: its first user, in order; of nobody else its own.

        Costs one walk a person, then a look-up: it is asked for each of millions of events.
        """
        if visitor_id not in self._identity and visitor_id not in self._ranked:
            return visitor_id
        known = self._person.get(visitor_id)
        if known is None:
            members = self.members(visitor_id)
            known = min(members, key=lambda member: (not member.startswith(USER_PREFIX), member))
            self._person |= dict.fromkeys(members, known)
        return known


def _rank(identity: Identity) -> Rank:
    return identity.proven, identity.occurred_at, identity.visitor_id


def read(reader: HistoryReader, settings: ServiceSettings) -> tuple[IdentityGraph, int]:
    """Who is who now, by all of `identities`, and how many messages cannot be read."""
    graph, unreadable = IdentityGraph.of(settings), 0
    for messages in reader.read(reader.spans(IDENTITIES)):
        unreadable += sum(not graph.take(message) for message in messages)
    return graph, unreadable
