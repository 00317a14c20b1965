"""Who is who: visitors of Segment messages, and which joins Kafka does not have yet."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from schemas import texts
from schemas.events import is_visitor_id
from schemas.identities import USER_PREFIX, Identity, visitor_of
from services.ingest.keyed_facts import LAST, KeyedFacts, Order
from services.ingest.segment.messages import Id, Kind, SegmentMessage
from services.ingest.validation import Outdated, Refused

USER_ID_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class MessageIdentity:
    """Whose message it is: the visitor of the event, and the user where one is named."""

    visitor_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class IdentityLink:
    """A visitor is a user. `stated`: by a message made to say it, not just by one that has both ids.

    `index` is the message's place in its batch.
    """

    identity: Identity
    stated: bool
    index: int = 0


def identify(message: SegmentMessage) -> MessageIdentity | None:
    """The anonymous visitor where there is one, else the user's own; None without either. Raises Refused."""
    anonymous, user_id = _text(message.anonymous_id), _user_id("userId", message.user_id)
    if anonymous:
        return MessageIdentity(visitor_of_anonymous(anonymous), user_id)
    return MessageIdentity(visitor_of(user_id), user_id) if user_id else None


def links_of(
    message: SegmentMessage, kind: Kind, whose: MessageIdentity | None, at: int
) -> tuple[IdentityLink, ...]:
    """What a message of `identify` tells about who is who; `at` is Unix ms. Raises Refused."""
    if kind == "alias":
        return _links_of_alias(message, at)
    if whose is None or whose.user_id is None or whose.visitor_id == visitor_of(whose.user_id):
        return ()
    identity = Identity(visitor_id=whose.visitor_id, user_id=whose.user_id, occurred_at=at)
    return (IdentityLink(identity, stated=kind == "identify"),)


def visitor_of_anonymous(anonymous_id: str) -> str:
    """The id itself where it may name a visitor and is not taken for a user's, else a hash that stays."""
    if is_visitor_id(anonymous_id) and not anonymous_id.startswith(USER_PREFIX):
        return anonymous_id
    return f"hash:{blake2b(anonymous_id.encode(), digest_size=20).hexdigest()}"


def _links_of_alias(message: SegmentMessage, at: int) -> tuple[IdentityLink, ...]:
    """Segment does not say whether previousId was anonymous or a user: both visitors are joined."""
    previous, user_id = _user_id("previousId", message.previous_id), _user_id("userId", message.user_id)
    if not previous or not user_id or previous == user_id:
        return ()
    visitors = (visitor_of_anonymous(previous), visitor_of(previous))
    return tuple(
        IdentityLink(Identity(visitor_id=each, user_id=user_id, occurred_at=at), stated=True)
        for each in visitors
    )


def _text(value: Id | None) -> str | None:
    return None if value is None or value == "" else str(value)


def _user_id(name: str, value: Id | None) -> str | None:
    given = _text(value)
    if given is not None and len(given) > USER_ID_MAX:
        raise Refused("validate", f"{name}: {len(given)} characters, at most {USER_ID_MAX} are taken")
    if nonsense := texts.check_names([(name, given)]):
        raise Refused("validate", nonsense)
    return given


class PublishedLinks:
    """The joins that lie on `identities`, and which of those that come are news."""

    def __init__(self, facts: KeyedFacts) -> None:
        self._facts = facts

    def missing(self, joins: Iterable[IdentityLink]) -> tuple[list[Identity], list[Outdated]]:
        """The newest join of each visitor, unless Kafka has it, or a newer one; and those too old to count.

        A join that only follows from a message with both ids is not said again while it is known. An older
        one is never written: the topic is compacted, and behind a newer one it would take its place.
        """
        newest: dict[str, IdentityLink] = {}
        for join in joins:
            visitor_id, other = join.identity.visitor_id, newest.get(join.identity.visitor_id)
            if other is None:
                newest[visitor_id] = join
                continue
            later = join if join.identity.replaces(other.identity) else other
            newest[visitor_id] = replace(later, stated=join.stated or other.stated)
        known = [(join, self._facts.newest(join.identity.visitor_id.encode())) for join in newest.values()]
        outdated = [
            Outdated(join.index, f"{join.identity.visitor_id}: {reason}")
            for join, lying in known
            if lying is not None and lying[1] != join.identity.user_id
            if (
                reason := self._facts.reason_to_ignore(
                    join.identity.visitor_id.encode(), _order(join.identity)
                )
            )
        ]
        return [join.identity for join, lying in known if self._is_missing(join, lying)], outdated

    def remember(self, identities: Iterable[Identity]) -> None:
        """To be called when Kafka has acknowledged them."""
        for identity in identities:
            self._facts.note(identity.visitor_id.encode(), _order(identity))

    def forget(self, visitor_ids: Iterable[str], at: int) -> None:
        """Who these visitors were up to `at` (Unix ms) is erased."""
        self._facts.correct({visitor_id.encode(): (at, LAST) for visitor_id in visitor_ids})

    def _is_missing(self, join: IdentityLink, lying: Order | None) -> bool:
        order = _order(join.identity)
        if lying is None or order <= lying:
            return lying is None
        if not join.stated and join.identity.user_id == lying[1]:
            self._facts.note(join.identity.visitor_id.encode(), order)  # a later word of the same
            return False
        return True


def _order(identity: Identity) -> Order:
    return identity.occurred_at, identity.user_id
