"""Visitor tokens: an HMAC over the visitor's id and the time of issue, so that nobody speaks for another."""

import hmac
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus

from itsdangerous import BadSignature, TimestampSigner
from pydantic import SecretStr
from starlette.requests import HTTPConnection, Request

from schemas.events import is_visitor_id
from services.clock import now_ms
from services.web.problems import NotAuthorised, Problem

# Not in the URL, where the logs of servers and proxies would have it.
TOKEN_HEADER = "X-Eddy-Token"  # noqa: S105 - its name
TOKEN_DAYS = 30
TOKEN_MAX_AGE_S = TOKEN_DAYS * 24 * 60 * 60
# From the first token on a shopper who comes back is still the same visitor: 13 months, as consent lasts.
RENEWABLE_S = 395 * 24 * 60 * 60
TOKENS_MAX = 10_000  # that are known to be signed here: some 4 MB
BORN = "~"  # in no visitor's id: what follows is when the first token was issued, Unix ms in base 36

ErasedUntil = Callable[[str], int | None]  # visitor → Unix ms up to which it is erased


class InvalidToken(Exception):
    """The token was not signed here, is for somebody else, or is too old; the text says which."""


@dataclass(frozen=True, slots=True)
class VisitorToken:
    """A token and the Unix time in ms at which it ends. `born`: when the visitor got its first one."""

    visitor_id: str
    token: str
    expires_at: int
    born: int


class TokenSigner:
    """Issues and checks visitor tokens. Ingest and recommender of one topic prefix share the secret."""

    def __init__(
        self,
        secret: SecretStr,
        prefix: str = "",
        erased_until: ErasedUntil = lambda _visitor_id: None,
        *,
        also: SecretStr | None = None,
    ) -> None:
        """`prefix` is the topics': a token of one tenant opens nothing at another with the same secret.

        `also`: a second secret whose tokens are taken, too; none is signed with it.
        """
        self._erased_until = erased_until
        self._signer = TimestampSigner(
            [each.get_secret_value() for each in (also, secret) if each],  # the last one signs
            # Keyed to this use: the same secret signs nothing else by accident.
            salt=f"eddy.visitor.{prefix}" if prefix else "eddy.visitor",
            key_derivation="hmac",
            digest_method=sha256,
        )
        # A signature is checked once: a page shows its token with every event. What was refused is not kept.
        self._verify = lru_cache(TOKENS_MAX)(self._unsign)

    def issue(self, visitor_id: str) -> VisitorToken:
        """A fresh token for the visitor, valid for 30 days."""
        now = int(now_ms())
        erased = self._erased_until(visitor_id)
        # Tokens have whole seconds; within that of an erasure it has to be told that this one came after.
        is_close = erased is not None and erased >= now - now % 1000
        return self._issue(visitor_id, max(now, (erased or 0) + 1) if is_close else None)

    def read(self, token: str) -> VisitorToken:
        """What a token says. Raises InvalidToken."""
        return self._read(token, TOKEN_MAX_AGE_S)

    def visitor_of(self, token: str) -> str:
        """Whose token this is. Raises InvalidToken."""
        return self.read(token).visitor_id

    def renew(self, token: str) -> VisitorToken:
        """A fresh token for the same visitor, up to 13 months after its first one. Raises InvalidToken."""
        old = self._read(token, RENEWABLE_S)
        if now_ms() - old.born > RENEWABLE_S * 1000:
            raise InvalidToken("the visitor token has expired for good: ask POST /v1/visitors for a new one")
        return self._issue(old.visitor_id, old.born)

    def require(self, token: str, visitor_id: str) -> VisitorToken:
        """The token, read. Raises InvalidToken unless it is this visitor's."""
        read = self.read(token)
        if read.visitor_id != visitor_id:
            raise InvalidToken("the visitor token belongs to another visitor")
        return read

    def _issue(self, visitor_id: str, born: int | None) -> VisitorToken:
        value = visitor_id if born is None else f"{visitor_id}{BORN}{_base36(born)}"
        return self._read(self._signer.sign(value).decode(), TOKEN_MAX_AGE_S)

    def _read(self, token: str, max_age_s: int) -> VisitorToken:
        read = self._verify(token)
        age_s = self._signer.get_timestamp() - (read.expires_at // 1000 - TOKEN_MAX_AGE_S)
        if not 0 <= age_s <= max_age_s:
            raise InvalidToken("the visitor token has expired: ask POST /v1/visitors for a new one")
        if (erased := self._erased_until(read.visitor_id)) is not None and read.born <= erased:
            raise InvalidToken("the visitor was erased: ask POST /v1/visitors for a new one")
        return read

    def _unsign(self, token: str) -> VisitorToken:
        """What a token says, whatever its age."""
        try:
            value, signed_at = self._signer.unsign(token, return_timestamp=True)
        except BadSignature:
            raise InvalidToken("the visitor token is not valid") from None
        visitor_id, _, told = value.decode().partition(BORN)
        if not is_visitor_id(visitor_id):
            raise InvalidToken("the visitor token is not valid")
        issued = int(signed_at.timestamp() * 1000)
        return VisitorToken(
            visitor_id, token, issued + TOKEN_MAX_AGE_S * 1000, int(told, 36) if told else issued
        )


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, place = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[place] + digits
    return digits or "0"


class UserSigner:
    """Signs user ids with a key that only the shop's back end and ingest have: hex HMAC-SHA256 of the id."""

    def __init__(self, key: SecretStr | None, *, also: SecretStr | None = None) -> None:
        """Without a key nothing is signed, and no signature is right. `also`: a second key that is taken."""
        self._keys = tuple(each.get_secret_value().encode() for each in (key, also) if each)

    def matches(self, user_id: str, user_hash: str) -> bool:
        """Whether the hash is the id's; compared in constant time."""
        expected = (hmac.new(key, user_id.encode(), sha256).hexdigest() for key in self._keys)
        return is_one_of(user_hash.strip().lower(), expected)


def is_one_of(shown: str, expected: Iterable[str]) -> bool:
    """Whether what is shown is one of these; takes the same time whichever it is, or none."""
    return sum(compare_digest(shown.encode(), each.encode()) for each in expected) > 0


def keys_of(*keys: SecretStr | None) -> tuple[str, ...]:
    """Those that are set: the one in use, and one that is taken beside it while keys are changed."""
    return tuple(each.get_secret_value() for each in keys if each)


def token_of(request: HTTPConnection) -> str | None:
    """The visitor's token: the header X-Eddy-Token, or `?token=`, which older pages send."""
    shown = request.headers.get(TOKEN_HEADER)
    return request.query_params.get("token") if shown is None else shown


def bearer_matches(authorization: str | None, keys: Iterable[str]) -> bool:
    """Whether an Authorization header shows one of the keys, compared in constant time."""
    if authorization is None:
        return False
    scheme, _, shown = authorization.partition(" ")
    return scheme.lower() == "bearer" and is_one_of(shown.strip(), keys)


def shows_api_key(authorization: str | None, keys: Iterable[str]) -> bool:
    """Whether an API key is shown; nothing shown is no. Raises NotAuthorised for a wrong one."""
    if authorization is not None and not bearer_matches(authorization, keys):
        raise NotAuthorised("the API key is not the one of EDDY_API_KEY")
    return authorization is not None


@contextmanager
def _refuse_invalid_tokens() -> Iterator[None]:
    """Turns InvalidToken into NotAuthorised, which tells the caller the same."""
    try:
        yield
    except InvalidToken as error:
        raise NotAuthorised(str(error)) from None


class AdminOff(Problem):
    """No admin key is set, so nobody can show it."""

    status = HTTPStatus.FORBIDDEN
    kind = "admin-off"

    def __init__(self) -> None:
        super().__init__("nobody can show the admin key, since none is set here: set EDDY_ADMIN_KEY")


class AdminAuth:
    """Checks the admin key. The shop's API key does not open it: what reads rows need not move products."""

    def __init__(self, admin_key: SecretStr | None, *, also: SecretStr | None = None) -> None:
        """`also`: a second key that is taken."""
        self._keys = keys_of(admin_key, also)

    def require(self, authorization: str | None) -> None:
        """Raises AdminOff where no key is set, NotAuthorised unless it is shown."""
        if not self._keys:
            raise AdminOff
        if authorization is None:
            raise NotAuthorised("show the admin key: Authorization: Bearer …")
        if not bearer_matches(authorization, self._keys):
            raise NotAuthorised("the admin key is not the one of EDDY_ADMIN_KEY")


class VisitorAuth:
    """Checks tokens and the API key. A wrong one is refused even where none would be needed."""

    def __init__(
        self,
        signer: TokenSigner,
        api_key: SecretStr | None,
        *,
        required: bool,
        write_key: SecretStr | None = None,
        also: SecretStr | None = None,
        also_write_key: SecretStr | None = None,
    ) -> None:
        """`also` and `also_write_key`: second keys that are taken."""
        self._signer = signer
        self._api_keys = keys_of(api_key, also)
        self._write_keys = keys_of(write_key, also_write_key)
        self._required = required

    def sender_of_events(self, request: Request) -> str | None:
        """The one visitor whose events may be sent, by its token; None: any. Raises NotAuthorised."""
        is_back_end, visitor_id = self._shows_key(request), self.visitor_of(request)
        if is_back_end:
            return None
        if self._required and visitor_id is None:
            raise NotAuthorised(
                f"events need a visitor token ({TOKEN_HEADER}: …) or the API key (Authorization: Bearer …)"
            )
        return visitor_id

    def visitor_of(self, request: Request) -> str | None:
        """Whose token is shown, if any. Raises NotAuthorised."""
        if (token := token_of(request)) is None:
            return None
        with _refuse_invalid_tokens():
            return self._signer.visitor_of(token)

    def is_back_end(self, request: Request) -> bool:
        """Whether the API key is shown, whatever else may be. Raises nothing."""
        return bearer_matches(request.headers.get("authorization"), self._api_keys)

    def require_back_end(self, request: Request) -> None:
        """Raises NotAuthorised unless the API key is shown, or nothing is shown where nothing is required."""
        if not self._shows_key(request) and self._required:
            raise NotAuthorised("products need the API key (Authorization: Bearer …)")

    def shows_write_key(self, request: Request) -> bool:
        """Whether the write key is shown, or the API key in its place. Raises NotAuthorised.

        As Segment has it, the write key is the name of HTTP basic auth, and the password is empty. Beacons
        have no headers: RudderStack's show it as `?writeKey=`.
        """
        in_query = request.query_params.get("writeKey")
        if in_query is not None:
            self._check_write_key(in_query)
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return self._shows_key(request) or in_query is not None
        try:
            name = b64decode(shown.strip(), validate=True).decode().partition(":")[0]
        except ValueError:
            raise NotAuthorised("the write key is to come as Basic base64(key + colon)") from None
        self._check_write_key(name)
        return True

    def require_sender(self, write_key: str | None, *, shown: bool) -> None:
        """Raises NotAuthorised where a body's write key is wrong, or one is needed and none was shown."""
        if write_key is not None:
            self._check_write_key(write_key)
        elif self._required and not shown:
            raise NotAuthorised(
                "messages need the write key (HTTP basic auth, or writeKey in body or query) or the API key"
            )

    def issue(self, request: Request, visitor_id: str) -> VisitorToken:
        """A token for a visitor that the caller names, which only a back end may. Raises NotAuthorised."""
        if not self._shows_key(request):
            raise NotAuthorised("a token for a visitor_id of your choice needs the API key")
        return self._signer.issue(visitor_id)

    def welcome(self, request: Request, visitor_id: str) -> VisitorToken:
        """A token for a visitor new to us. Raises NotAuthorised when a wrong key is shown."""
        self._shows_key(request)
        return self._signer.issue(visitor_id)

    def renew(self, token: str) -> VisitorToken:
        """A fresh token for the visitor of an old one. Raises NotAuthorised."""
        with _refuse_invalid_tokens():
            return self._signer.renew(token)

    def _check_write_key(self, shown: str) -> None:
        if not self._write_keys:
            raise NotAuthorised(
                "a write key is shown, and none is set here: EDDY_WRITE_KEY is to be the same"
            )
        if not is_one_of(shown, self._write_keys):
            raise NotAuthorised("the write key is not the one of EDDY_WRITE_KEY")

    def _shows_key(self, request: Request) -> bool:
        return shows_api_key(request.headers.get("authorization"), self._api_keys)


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks: the shop's back end, or the visitor itself until `expires_at`, Unix ms."""

    visitor_id: str
    is_back_end: bool
    expires_at: int | None = None


class ReaderAuth:
    """Checks tokens and the API key."""

    def __init__(
        self, signer: TokenSigner, api_key: SecretStr | None, *, also: SecretStr | None = None
    ) -> None:
        """`also`: a second key that is taken."""
        self._signer = signer
        self._api_keys = keys_of(api_key, also)

    def require_visitor(self, visitor_id: str, token: str | None, authorization: str | None) -> Access:
        """Raises NotAuthorised unless the API key is shown, or the visitor's own token."""
        if shows_api_key(authorization, self._api_keys):
            return Access(visitor_id, is_back_end=True)
        if token is None:
            raise NotAuthorised(
                f"show the visitor's token ({TOKEN_HEADER}: …, by POST /v1/visitors) or the API key"
            )
        with _refuse_invalid_tokens():
            expires_at = self._signer.require(token, visitor_id).expires_at
        return Access(visitor_id, is_back_end=False, expires_at=expires_at)
