"""Visitor tokens: an HMAC over the visitor's id and the time of issue, so that nobody speaks for another."""

from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner
from pydantic import SecretStr

from schemas.events import is_visitor_id

TOKEN_DAYS = 30
TOKEN_MAX_AGE_S = TOKEN_DAYS * 24 * 60 * 60
RENEWABLE_S = 365 * 24 * 60 * 60  # a shopper who comes back within a year is still the same visitor


class InvalidToken(Exception):
    """The token was not signed here, is for somebody else, or is too old; the text says which."""


@dataclass(frozen=True, slots=True)
class VisitorToken:
    """A token and the Unix time in ms at which it ends."""

    visitor_id: str
    token: str
    expires_at: int


class TokenSigner:
    """Issues and checks visitor tokens. One secret is shared by ingest and recommender."""

    def __init__(self, secret: SecretStr) -> None:
        # Keyed to this use: the same secret signs nothing else by accident.
        self._signer = TimestampSigner(
            secret.get_secret_value(), salt="eddy.visitor", key_derivation="hmac", digest_method=sha256
        )

    def issue(self, visitor_id: str) -> VisitorToken:
        """A fresh token for the visitor, valid for 30 days."""
        token = self._signer.sign(visitor_id).decode()
        signed_at = self._signer.unsign(token, return_timestamp=True)[1]
        return VisitorToken(visitor_id, token, int((signed_at.timestamp() + TOKEN_MAX_AGE_S) * 1000))

    def visitor_of(self, token: str) -> str:
        """Whose token this is. Raises InvalidToken."""
        return self._visitor_of(token, TOKEN_MAX_AGE_S)

    def renew(self, token: str) -> VisitorToken:
        """A fresh token for the same visitor, up to a year after the old one's issue. Raises InvalidToken."""
        return self.issue(self._visitor_of(token, RENEWABLE_S))

    def _visitor_of(self, token: str, max_age_s: int) -> str:
        try:
            visitor_id = self._signer.unsign(token, max_age=max_age_s).decode()
        except SignatureExpired:
            raise InvalidToken("the visitor token has expired: ask POST /v1/visitors for a new one") from None
        except BadSignature:
            raise InvalidToken("the visitor token is not valid") from None
        if not is_visitor_id(visitor_id):
            raise InvalidToken("the visitor token is not valid")
        return visitor_id

    def require(self, token: str, visitor_id: str) -> None:
        """Raises InvalidToken unless the token is this visitor's."""
        if self.visitor_of(token) != visitor_id:
            raise InvalidToken("the visitor token belongs to another visitor")


def bearer_matches(authorization: str | None, api_key: SecretStr | None) -> bool:
    """Whether an Authorization header shows the shop's API key, compared in constant time."""
    if authorization is None or api_key is None:
        return False
    scheme, _, shown = authorization.partition(" ")
    return scheme.lower() == "bearer" and compare_digest(
        shown.strip().encode(), api_key.get_secret_value().encode()
    )
