"""Who is asking: a visitor by token, a back end by API key, an SDK by write key, or nobody in particular."""

from base64 import b64decode
from hmac import compare_digest

from pydantic import SecretStr
from starlette.requests import Request

from services.problems import NotAuthorised
from services.tokens import InvalidToken, TokenSigner, VisitorToken, bearer_matches


class Doorkeeper:
    """Checks tokens and the API key. A wrong one is refused even where none would be needed."""

    def __init__(
        self,
        signer: TokenSigner,
        api_key: SecretStr | None,
        *,
        required: bool,
        write_key: SecretStr | None = None,
    ) -> None:
        self._signer = signer
        self._api_key = api_key
        self._write_key = write_key
        self._required = required

    def sender_of_events(self, request: Request) -> str | None:
        """The one visitor whose events may be sent, by `?token=`; None: any. Raises NotAuthorised."""
        token = request.query_params.get("token")
        is_back_end = self._shows_key(request)
        visitor_id = self._visitor_of(token) if token is not None else None
        if is_back_end:
            return None
        if self._required and visitor_id is None:
            raise NotAuthorised(
                "events need a visitor token (?token=…) or the API key (Authorization: Bearer …)"
            )
        return visitor_id

    def require_back_end(self, request: Request) -> None:
        """Raises NotAuthorised unless the API key is shown, or nothing is shown where nothing is required."""
        if not self._shows_key(request) and self._required:
            raise NotAuthorised("products need the API key (Authorization: Bearer …)")

    def shows_write_key(self, request: Request) -> bool:
        """Whether the headers show the write key, or the API key in its place. Raises NotAuthorised.

        As Segment has it, the write key is the name of HTTP basic auth, and the password is empty.
        """
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return self._shows_key(request)
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
                "messages need the write key (HTTP basic auth, or writeKey in the body) or the API key"
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
        try:
            return self._signer.renew(token)
        except InvalidToken as error:
            raise NotAuthorised(str(error)) from None

    def _visitor_of(self, token: str) -> str:
        try:
            return self._signer.visitor_of(token)
        except InvalidToken as error:
            raise NotAuthorised(str(error)) from None

    def _check_write_key(self, shown: str) -> None:
        if self._write_key is None:
            raise NotAuthorised(
                "a write key is shown, and none is set here: EDDY_WRITE_KEY is to be the same"
            )
        if not compare_digest(shown.encode(), self._write_key.get_secret_value().encode()):
            raise NotAuthorised("the write key is not the one of EDDY_WRITE_KEY")

    def _shows_key(self, request: Request) -> bool:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return False
        if not bearer_matches(authorization, self._api_key):
            raise NotAuthorised("the API key is not the one of EDDY_API_KEY")
        return True
