"""Who a visitor turned out to be, on the topic `identities` (JSON): the newest `occurred_at` counts."""

import re
from hashlib import blake2b
from typing import Annotated, Final

import msgspec

from schemas.events import Millis, VisitorId, is_visitor_id
from schemas.unreadable import read

USER_PREFIX: Final = "user:"

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Identity(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An anonymous visitor is this user. `occurred_at` is when that became known, Unix time in ms.

    `proven`: the shop's back end has said so, or has signed the user's id; else it is a claim, as anybody may
    make it who has a page's write key.
    """

    visitor_id: VisitorId
    user_id: UserId
    occurred_at: Millis
    proven: bool = False

    @property
    def user(self) -> str:
        """The visitor_id under which the user's own events and session are kept."""
        return visitor_of(self.user_id)

    def replaces(self, other: "Identity | None") -> bool:
        """Whether this one counts of two about one visitor; the same whichever comes first."""
        return other is None or self._order > other._order

    @property
    def _order(self) -> tuple[int, str, bool]:
        return self.occurred_at, self.user_id, self.proven


def visitor_of(user_id: str) -> str:
    """A user as a visitor: the id itself behind `user:` where it may name one, else its hash."""
    if re.fullmatch(r"[A-Za-z0-9_.:-]{1,59}", user_id):
        return USER_PREFIX + user_id
    return f"{USER_PREFIX}hash:{blake2b(user_id.encode(), digest_size=20).hexdigest()}"


def visitor_of_anonymous(anonymous_id: str) -> str:
    """The id itself where it may name a visitor and is not taken for a user's, else a hash that stays."""
    if is_visitor_id(anonymous_id) and not anonymous_id.startswith(USER_PREFIX):
        return anonymous_id
    return f"hash:{blake2b(anonymous_id.encode(), digest_size=20).hexdigest()}"


_decoder = msgspec.json.Decoder(Identity)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Identity:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(identity: Identity) -> bytes:
    """The bytes of one message on `identities`."""
    return _encoder.encode(identity)
