"""Who may see a visitor's recommendations: the visitor, by token, and the shop's back end, by API key."""

from pydantic import SecretStr

from services.problems import NotAuthorised
from services.tokens import InvalidToken, TokenSigner, bearer_matches


class Doorkeeper:
    """Checks tokens and the API key."""

    def __init__(self, signer: TokenSigner, api_key: SecretStr | None) -> None:
        self._signer = signer
        self._api_key = api_key

    def require_visitor(self, visitor_id: str, token: str | None, authorization: str | None) -> None:
        """Raises NotAuthorised unless the visitor's own token or the API key is shown."""
        if authorization is not None:
            if not bearer_matches(authorization, self._api_key):
                raise NotAuthorised("the API key is not the one of EDDY_API_KEY")
            return
        if token is None:
            raise NotAuthorised(
                "show the visitor's token (?token=…, from ingest's POST /v1/visitors) or the API key"
            )
        try:
            self._signer.require(token, visitor_id)
        except InvalidToken as error:
            raise NotAuthorised(str(error)) from None
