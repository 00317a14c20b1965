"""Who is who: visitors of Segment messages, and which joins Kafka does not have yet."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from cachetools import TTLCache

from schemas.events import is_visitor_id
from schemas.identities import USER_PREFIX, Identity, visitor_of
from services.ingest.segment.messages import Id, Kind, SegmentMessage
from services.ingest.validation import Refused

USER_ID_MAX: Final = 256
REMEMBERED: Final = 50_000  # visitors, about 30 MB
# Another ingest process may have joined the visitor to somebody else since: said again after so long.
REMEMBERED_S: Final = 3600


@dataclass(frozen=True, slots=True)
class MessageIdentity:
    """Whose message it is: the visitor of the event, and the user where one is named."""

    visitor_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class IdentityLink:
    """A visitor is a user. `stated`: by a message made to say it, not just by one that has both ids."""

    identity: Identity
    stated: bool


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
    return given


@dataclass(slots=True)
class _PublishedLink:
    """A visitor whose user Kafka has; `newest` may be a later word of the same, which needs no writing."""

    newest: Identity


class PublishedLinks:
    """The joins that this process has written and Kafka has acknowledged, the last of each visitor."""

    def __init__(
        self,
        size: int = REMEMBERED,
        seconds: float = REMEMBERED_S,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._written: TTLCache[str, _PublishedLink] = TTLCache(size, seconds, timer)

    def missing(self, joins: Iterable[IdentityLink]) -> list[Identity]:
        """The newest join of each visitor, unless Kafka has it, or a newer one.

        A join that only follows from a message with both ids is not said again while it is known. An older
        one is never written: the topic is compacted, and behind a newer one it would take its place.
        """
        newest: dict[str, IdentityLink] = {}
        for join in joins:
            visitor_id, other = join.identity.visitor_id, newest.get(join.identity.visitor_id)
            if other is None or join.identity.replaces(other.identity):
                newest[visitor_id] = IdentityLink(
                    join.identity, join.stated or (other is not None and other.stated)
                )
        return [join.identity for join in newest.values() if self._is_missing(join)]

    def remember(self, identities: Iterable[Identity]) -> None:
        """To be called when Kafka has acknowledged them."""
        for identity in identities:
            known = self._written.get(identity.visitor_id)
            if known is None or identity.replaces(known.newest):
                self._written[identity.visitor_id] = _PublishedLink(identity)

    def forget(self, visitor_ids: Iterable[str]) -> None:
        """Kafka has nothing of them any more."""
        for visitor_id in visitor_ids:
            self._written.pop(visitor_id, None)

    def _is_missing(self, join: IdentityLink) -> bool:
        known = self._written.get(join.identity.visitor_id)
        if known is None:
            return True
        if not join.identity.replaces(known.newest):
            return False
        if not join.stated and join.identity.user_id == known.newest.user_id:
            known.newest = join.identity
            return False
        return True
