"""Who is who: visitors of Segment messages, and which joins Kafka does not have yet."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec.structs import replace

from schemas import texts
from schemas.identities import Identity, visitor_of, visitor_of_anonymous
from services.ingest.keyed_facts import LAST, KeyedFacts, Order, identity_order
from services.ingest.segment.messages import Id, Kind, SegmentMessage
from services.ingest.validation import Outdated, Refused
from services.visitors.identity_graph import PlaceholderIds
from services.web.auth import UserSigner

USER_ID_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class MessageIdentity:
    """Whose message it is: the visitor of the event, and the user where one is named."""

    visitor_id: str
    user_id: str | None


Proof = Literal["back_end", "signature", "wrong_signature", "none"]


@dataclass(frozen=True, slots=True)
class IdentityLink:
    """A visitor is a user. `stated`: by a message made to say it, not just by one that has both ids.

    `index` is the message's place in its batch.
    """

    identity: Identity
    stated: bool
    proof: Proof = "none"
    index: int = 0


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """Which ids name nobody, and what proves that a visitor is a user."""

    placeholders: PlaceholderIds = field(default_factory=PlaceholderIds)
    signer: UserSigner = field(default_factory=lambda: UserSigner(None))

    def proof(self, message: SegmentMessage, user_id: str) -> Proof:
        """By `traits.user_hash`, of the message or of its context, where SDKs repeat it."""
        told = (message.traits or {}).get("user_hash")
        if told is None:
            traits = (message.context or {}).get("traits")
            told = traits.get("user_hash") if isinstance(traits, dict) else None
        if not isinstance(told, str) or not told:
            return "none"
        return "signature" if self.signer.matches(user_id, told) else "wrong_signature"


@dataclass(frozen=True, slots=True)
class MessageSender:
    """Who sends messages: a back end, one visitor by its token, or whoever has the write key."""

    is_back_end: bool = False
    visitor_id: str | None = None

    def require(self, visitor_id: str) -> None:
        """Raises Refused for another visitor than the token's."""
        if self.visitor_id is not None and self.visitor_id != visitor_id:
            raise Refused("visitor", "the visitor token belongs to another visitor than the message")


WRITE_KEY_HOLDER: Final = MessageSender()
ANY_POLICY: Final = IdentityPolicy()


def identify(message: SegmentMessage, placeholders: PlaceholderIds) -> MessageIdentity | None:
    """The anonymous visitor where there is one, else the user's own; None without either. Raises Refused.

    An id that is a placeholder is none.
    """
    anonymous, user_id = _text(message.anonymous_id), _user_id("userId", message.user_id)
    user_id = None if user_id is None or user_id in placeholders else user_id
    if anonymous and anonymous not in placeholders:
        return MessageIdentity(visitor_of_anonymous(anonymous), user_id)
    return MessageIdentity(visitor_of(user_id), user_id) if user_id else None


def links_of(
    message: SegmentMessage,
    kind: Kind,
    whose: MessageIdentity | None,
    at: int,
    *,
    sender: MessageSender = WRITE_KEY_HOLDER,
    policy: IdentityPolicy = ANY_POLICY,
) -> tuple[IdentityLink, ...]:
    """What a message of `identify` tells about who is who; `at` is Unix ms. Raises Refused."""
    if kind == "alias":
        visitors, user_id = _alias(message, policy.placeholders)
    elif whose is not None and whose.user_id is not None and whose.visitor_id != visitor_of(whose.user_id):
        visitors, user_id = (whose.visitor_id,), whose.user_id
    else:
        return ()
    proof: Proof = "back_end" if sender.is_back_end else policy.proof(message, user_id)
    # A signature proves who the new user is, not that the former one was the same.
    is_proven = proof == "back_end" or (proof == "signature" and kind != "alias")
    for each in visitors:
        sender.require(each)
    return tuple(
        IdentityLink(
            Identity(visitor_id=each, user_id=user_id, occurred_at=at, proven=is_proven),
            stated=kind in {"identify", "alias"},
            proof=proof,
        )
        for each in visitors
    )


def _alias(message: SegmentMessage, placeholders: PlaceholderIds) -> tuple[tuple[str, ...], str]:
    """Segment does not say whether previousId was anonymous or a user: both visitors are joined."""
    previous, user_id = _user_id("previousId", message.previous_id), _user_id("userId", message.user_id)
    if not previous or not user_id or previous == user_id:
        return (), ""
    if previous in placeholders or user_id in placeholders:
        return (), ""
    return (visitor_of_anonymous(previous), visitor_of(previous)), user_id


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
            visitor_id = join.identity.visitor_id
            other = newest.get(visitor_id)
            newest[visitor_id] = join if other is None else _newer(join, other)
        missing, outdated = [], []
        for visitor_id, join in newest.items():
            key, order = visitor_id.encode(), identity_order(join.identity)
            lying = self._facts.newest(key)
            if self._is_missing(join, lying):
                missing.append(join.identity)
            elif lying is not None and lying[1] != join.identity.user_id:
                reason = self._facts.reason_to_ignore(key, order)
                outdated.append(Outdated(join.index, f"{visitor_id}: {reason}"))
        return missing, outdated

    def remember(self, identities: Iterable[Identity]) -> None:
        """To be called when Kafka has acknowledged them."""
        for identity in identities:
            self._facts.note(identity.visitor_id.encode(), identity_order(identity))

    def forget(self, visitor_ids: Iterable[str], at: int) -> None:
        """Who these visitors were up to `at` (Unix ms) is erased."""
        self._facts.correct({visitor_id.encode(): (at, LAST, False) for visitor_id in visitor_ids})

    def _is_missing(self, join: IdentityLink, lying: Order | None) -> bool:
        order = identity_order(join.identity)
        if lying is None or order <= lying:
            return lying is None
        at, user_id, is_proven = order
        if user_id != lying[1] or is_proven > lying[2] or (join.stated and is_proven == lying[2]):
            return True
        # Only a later word of what is known; and to write it would make a claim of what is proven.
        self._facts.note(join.identity.visitor_id.encode(), (at, user_id, lying[2]))
        return False


def _newer(one: IdentityLink, other: IdentityLink) -> IdentityLink:
    """The newer word of two about one visitor; stated and proven as either, where they name one user."""
    newer, older = (one, other) if one.identity.replaces(other.identity) else (other, one)
    is_proven = newer.identity.proven or (
        older.identity.proven and newer.identity.user_id == older.identity.user_id
    )
    identity = replace(newer.identity, proven=is_proven)
    return IdentityLink(identity, newer.stated or older.stated, newer.proof, newer.index)
