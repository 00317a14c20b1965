"""Who may change rules and experiments and erase visitors: whoever shows the admin key."""

from http import HTTPStatus

from pydantic import SecretStr

from services.problems import NotAuthorised, Problem
from services.tokens import bearer_matches


class AdminOff(Problem):
    """No admin key is set, so nobody can show it."""

    status = HTTPStatus.FORBIDDEN
    kind = "admin-off"

    def __init__(self) -> None:
        super().__init__("nobody can show the admin key, since none is set here: set EDDY_ADMIN_KEY")


class AdminDoor:
    """Checks the admin key. The shop's API key does not open it: what reads rows need not move products."""

    def __init__(self, admin_key: SecretStr | None) -> None:
        self._admin_key = admin_key

    def require(self, authorization: str | None) -> None:
        """Raises AdminOff where no key is set, NotAuthorised unless it is shown."""
        if self._admin_key is None:
            raise AdminOff
        if authorization is None:
            raise NotAuthorised("show the admin key: Authorization: Bearer …")
        if not bearer_matches(authorization, self._admin_key):
            raise NotAuthorised("the admin key is not the one of EDDY_ADMIN_KEY")
