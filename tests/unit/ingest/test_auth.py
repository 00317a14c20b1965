"""Who may send what: tokens for visitors, the API key for back ends, and nothing where nothing is asked."""

import logging
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
import structlog
from itsdangerous import TimestampSigner
from pydantic import SecretStr, ValidationError
from starlette.requests import Request

from services.clock import now_ms
from services.ingest.settings import IngestSettings
from services.logging import configure_logging
from services.recommender.settings import RecommenderSettings
from services.settings import HttpSettings, ServiceSettings, load
from services.web import auth
from services.web.auth import RENEWABLE_S, TOKEN_MAX_AGE_S, InvalidToken, TokenSigner, VisitorAuth
from services.web.problems import NotAuthorised

SECRET = SecretStr("a secret of the tests")
KEY = "the key of the shop's back end"
WRITE_KEY = "a write key of an SDK"
SIGNER = TokenSigner(SECRET)


def request(token: str | None = None, authorization: str | None = None) -> Request:
    headers = [(b"authorization", authorization.encode())] if authorization is not None else []
    query = f"token={token}".encode() if token is not None else b""
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": query})


def door(
    *, required: bool = False, api_key: str | None = KEY, write_key: str | None = WRITE_KEY
) -> VisitorAuth:
    keys = [SecretStr(key) if key else None for key in (api_key, write_key)]
    return VisitorAuth(SIGNER, keys[0], required=required, write_key=keys[1])


def basic(name: str) -> str:
    return f"Basic {b64encode(name.encode()).decode()}"


@pytest.fixture
def token_of_age(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], str]:
    """Makes a token of visitor v1 that was issued so many seconds ago."""

    def token(age_s: float) -> str:
        then = int((datetime.now(UTC) - timedelta(seconds=age_s)).timestamp())
        with monkeypatch.context() as past:
            past.setattr(TimestampSigner, "get_timestamp", lambda _self: then)
            return SIGNER.issue("v1").token

    return token


def test_a_token_speaks_for_its_visitor() -> None:
    assert door().sender_of_events(request(SIGNER.issue("v1").token)) == "v1"


def test_the_key_speaks_for_any_visitor() -> None:
    assert door(required=True).sender_of_events(request(authorization=f"Bearer {KEY}")) is None


def test_nothing_shown_is_enough_where_nothing_is_required() -> None:
    assert door().sender_of_events(request()) is None
    door().require_back_end(request())


def test_nothing_shown_is_refused_where_something_is_required() -> None:
    with pytest.raises(NotAuthorised):
        door(required=True).sender_of_events(request())
    with pytest.raises(NotAuthorised):
        door(required=True).require_back_end(request(SIGNER.issue("v1").token))


@pytest.mark.parametrize(
    "shown",
    [
        request("v1.no.signature"),
        request(""),
        request(TokenSigner(SecretStr("another secret than that")).issue("v1").token),
        request(authorization="Bearer wrong"),
        request(authorization=f"Basic {KEY}"),
        request(SIGNER.issue("v1").token, "Bearer wrong"),
        request("v1.no.signature", f"Bearer {KEY}"),
    ],
)
def test_what_is_wrong_is_refused_even_where_nothing_is_required(shown: Request) -> None:
    with pytest.raises(NotAuthorised):
        door().sender_of_events(shown)


def test_without_a_configured_key_every_key_is_wrong() -> None:
    with pytest.raises(NotAuthorised):
        door(api_key=None).require_back_end(request(authorization="Bearer "))


def test_only_a_back_end_names_a_visitor() -> None:
    assert door().issue(request(authorization=f"Bearer {KEY}"), "customer-17").visitor_id == "customer-17"
    with pytest.raises(NotAuthorised):
        door().issue(request(), "customer-17")


def test_an_expired_token_is_refused_but_can_be_renewed(token_of_age: Callable[[float], str]) -> None:
    token = token_of_age(TOKEN_MAX_AGE_S + 60)
    with pytest.raises(NotAuthorised, match="expired"):
        door().sender_of_events(request(token))
    renewed = door().renew(token)
    assert door().sender_of_events(request(renewed.token)) == "v1"


def test_a_token_of_long_ago_cannot_be_renewed(token_of_age: Callable[[float], str]) -> None:
    with pytest.raises(NotAuthorised, match="expired"):
        door().renew(token_of_age(RENEWABLE_S + 60))


def test_however_often_it_is_renewed_a_token_lasts_no_longer_than_13_months_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC).timestamp()

    def at(days: float) -> None:
        moment = now + days * 86_400
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: int(moment))
        monkeypatch.setattr(auth, "now_ms", lambda: moment * 1000)

    at(0)
    token = SIGNER.issue("v1")
    for days in range(28, 395, 28):
        at(days)
        token = SIGNER.renew(token.token)
        assert token.expires_at > (now + days * 86_400) * 1000
        assert SIGNER.read(token.token) == token
        assert SIGNER.visitor_of(token.token) == "v1"
    at(396)
    assert SIGNER.visitor_of(token.token) == "v1"
    with pytest.raises(InvalidToken, match="expired for good"):
        SIGNER.renew(token.token)


def test_a_token_opens_nothing_under_another_prefix() -> None:
    signers = [TokenSigner(SECRET, prefix) for prefix in ("", "shop-a.", "shop-b.")]
    for place, signer in enumerate(signers):
        token = signer.issue("v1").token
        for other_place, other in enumerate(signers):
            if place == other_place:
                assert other.visitor_of(token) == "v1"
            else:
                with pytest.raises(InvalidToken, match="not valid"):
                    other.visitor_of(token)


def test_tokens_from_before_an_erasure_are_refused_and_those_after_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    erased: dict[str, int] = {}
    signer = TokenSigner(SECRET, erased_until=erased.get)
    before, other = signer.issue("v1").token, signer.issue("v2").token
    erased["v1"] = int(now_ms())
    for refuse in (signer.read, signer.renew):
        with pytest.raises(InvalidToken, match="erased"):
            refuse(before)
    assert signer.visitor_of(other) == "v2"
    after = signer.issue("v1")  # in the same second, or nearly
    assert signer.visitor_of(after.token) == "v1"
    assert signer.visitor_of(signer.renew(after.token).token) == "v1"
    erased["v1"] = after.born
    with pytest.raises(InvalidToken, match="erased"):
        signer.read(after.token)


@pytest.mark.parametrize("where", ["header", "query", "both"])
def test_a_token_is_shown_in_a_header_and_by_older_pages_in_the_query(where: str) -> None:
    token = SIGNER.issue("v1").token
    shown = request(None if where == "header" else "nonsense" if where == "both" else token)
    if where != "query":
        shown.scope["headers"] = [(b"x-eddy-token", token.encode())]
    assert door(required=True).sender_of_events(shown) == "v1"


@pytest.mark.parametrize("settings", [IngestSettings, RecommenderSettings])
def test_a_start_without_a_key_fails_unless_auth_is_optional_by_name(
    settings: type[HttpSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDDY_TOKEN_SECRET", SECRET.get_secret_value())
    with pytest.raises(SystemExit):
        load(settings)
    assert "set one that the shop's back end shows" in capsys.readouterr().err
    monkeypatch.setenv("EDDY_AUTH", "optional")
    assert load(settings).auth == "optional"
    monkeypatch.delenv("EDDY_AUTH")
    monkeypatch.setenv("EDDY_API_KEY", KEY)
    assert load(settings).auth == "required"


@pytest.mark.parametrize(
    ("auth", "warns"), [("optional", True), ("required", False)], ids=["optional", "required"]
)
def test_every_service_warns_where_auth_is_optional(
    auth: Literal["optional", "required"], warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(ServiceSettings(auth=auth), "embedder")
        assert ("EDDY_AUTH=optional" in capsys.readouterr().err) == warns
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    "shown",
    [
        basic(f"{WRITE_KEY}:"),
        basic(WRITE_KEY),
        basic(f"{WRITE_KEY}:x").replace("B", "b", 1),
        f"Bearer {KEY}",
    ],
)
def test_sdks_show_the_write_key_and_back_ends_the_api_key(shown: str) -> None:
    strict = door(required=True)
    assert strict.shows_write_key(request(authorization=shown))
    strict.require_sender(None, shown=True)


def test_the_write_key_may_come_in_the_body() -> None:
    strict = door(required=True)
    assert not strict.shows_write_key(request())
    strict.require_sender(WRITE_KEY, shown=False)
    with pytest.raises(NotAuthorised, match="write key"):
        strict.require_sender(None, shown=False)
    door().require_sender(None, shown=False)


@pytest.mark.parametrize(
    "shown",
    [
        basic(f"{WRITE_KEY}x:"),
        basic(f":{WRITE_KEY}"),
        basic(f"{KEY}:"),
        "Basic",
        "Basic ?",
        "Basic ////",
        "Basic ä",
        f"Bearer {WRITE_KEY}",
        "Bearer",
    ],
)
def test_a_wrong_write_key_is_refused_even_where_none_is_required(shown: str) -> None:
    with pytest.raises(NotAuthorised):
        door().shows_write_key(request(authorization=shown))


@pytest.mark.parametrize("shown", ["wrong", "ä", ""])
def test_a_wrong_write_key_in_the_body_is_refused_even_beside_a_right_one(shown: str) -> None:
    with pytest.raises(NotAuthorised):
        door().require_sender(shown, shown=True)


def test_without_a_write_key_here_every_one_is_wrong() -> None:
    with pytest.raises(NotAuthorised, match="EDDY_WRITE_KEY"):
        door(write_key=None).shows_write_key(request(authorization=basic(":")))


def test_the_write_key_opens_nothing_else() -> None:
    with pytest.raises(NotAuthorised):
        door().require_back_end(request(authorization=basic(f"{WRITE_KEY}:")))
    with pytest.raises(NotAuthorised):
        door().sender_of_events(request(authorization=f"Bearer {WRITE_KEY}"))


def test_a_write_key_with_a_colon_ends_the_start() -> None:
    with pytest.raises(ValidationError, match="colon"):
        IngestSettings(token_secret=SECRET, api_key=SECRET, write_key=SecretStr("a write key: of an SDK"))
