"""Who is asking: a visitor by token, the shop's back end by API key, or nobody in particular."""

from pydantic import SecretStr
from starlette.requests import Request

from services.problems import NotAuthorised
from services.tokens import InvalidToken, TokenSigner, VisitorToken, bearer_matches


class Doorkeeper:
    """Checks tokens and the API key. A wrong one is refused even where none would be needed."""

    def __init__(self, signer: TokenSigner, api_key: SecretStr | None, *, required: bool) -> None:
        self._signer = signer
        self._api_key = api_key
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

    def _shows_key(self, request: Request) -> bool:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return False
        if not bearer_matches(authorization, self._api_key):
            raise NotAuthorised("the API key is not the one of EDDY_API_KEY")
        return True
