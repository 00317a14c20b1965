"""Keys are changed process by process, and nobody who shows the old or the new one is refused meanwhile."""

import hmac
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from services.ingest.settings import IngestSettings
from services.web.auth import AdminAuth, InvalidToken, ReaderAuth, TokenSigner, UserSigner, VisitorAuth
from services.web.problems import NotAuthorised
from services.web.rates import RateLimits

OLD, NEW, OTHER = (SecretStr(f"the {each} key, long enough") for each in ("old", "new", "other"))
# What a process is started with, step by step: the key in use, and the one that is taken beside it.
STEPS: tuple[tuple[SecretStr, SecretStr | None], ...] = ((OLD, None), (OLD, NEW), (NEW, OLD), (NEW, None))


def steps_side_by_side() -> Iterator[tuple[tuple[SecretStr, SecretStr | None], ...]]:
    """Two processes of which one is a step ahead, and both of one step."""
    for step in STEPS:
        yield step, step
    for before, after in pairwise(STEPS):
        yield before, after
        yield after, before


@pytest.mark.parametrize(("ingest", "recommender"), [*steps_side_by_side()])
def test_a_token_that_one_process_signs_is_taken_by_another_a_step_ahead_or_behind(
    ingest: tuple[SecretStr, SecretStr | None], recommender: tuple[SecretStr, SecretStr | None]
) -> None:
    token = TokenSigner(ingest[0], also=ingest[1]).issue("v").token
    assert TokenSigner(recommender[0], also=recommender[1]).visitor_of(token) == "v"


def test_a_renewed_token_is_of_the_secret_in_use() -> None:
    renewed = TokenSigner(NEW, also=OLD).renew(TokenSigner(OLD).issue("v").token)
    assert TokenSigner(NEW).visitor_of(renewed.token) == "v"
    with pytest.raises(InvalidToken):
        TokenSigner(OLD).visitor_of(renewed.token)


def bearer(key: SecretStr) -> str:
    return f"Bearer {key.get_secret_value()}"


def request(authorization: str) -> Request:
    headers = [(b"authorization", authorization.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""})


SIGNER = TokenSigner(OTHER)
Check = Callable[[SecretStr], object]


def doors() -> dict[str, Check]:
    """Everything that takes a key, while OLD gives way to NEW."""
    visitor = VisitorAuth(SIGNER, NEW, required=True, write_key=NEW, also=OLD, also_write_key=OLD)
    return {
        "admin": lambda key: AdminAuth(NEW, also=OLD).require(bearer(key)),
        "back end": lambda key: visitor.require_back_end(request(bearer(key))),
        "reader": lambda key: ReaderAuth(SIGNER, NEW, also=OLD).require_visitor("v", None, bearer(key)),
        "write key": lambda key: visitor.require_sender(key.get_secret_value(), shown=False),
    }


@pytest.mark.parametrize("door", doors())
def test_both_keys_open_a_door_and_no_third_one_does(door: str) -> None:
    check = doors()[door]
    check(OLD)
    check(NEW)
    with pytest.raises(NotAuthorised):
        check(OTHER)


def test_a_users_signature_by_either_key_is_a_proof() -> None:
    signer = UserSigner(NEW, also=OLD)
    signed = [hmac.new(key.get_secret_value().encode(), b"17", sha256) for key in (OLD, NEW, OTHER)]
    assert [signer.matches("17", each.hexdigest()) for each in signed] == [True, True, False]


def test_holders_of_either_key_are_back_ends_to_the_limits() -> None:
    settings = IngestSettings(token_secret=OTHER, api_key=NEW, api_key_also=OLD, rate_address=1, rate_key=1e6)
    limits = RateLimits(settings, settings.back_end_keys)

    def ask(key: SecretStr) -> object:
        headers = [(b"authorization", bearer(key).encode())]
        return limits.check(
            {"type": "http", "client": ("10.1.1.1", 1), "method": "GET", "path": "/", "headers": headers}
        )

    assert [ask(each) for each in (OLD, NEW) * 20] == [None] * 40
    assert any(ask(OTHER) for _ in range(20))
