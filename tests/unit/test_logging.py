"""No key and no token of a visitor stands in a log, whoever writes the line."""

import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from pydantic import SecretStr

from services.ingest.settings import IngestSettings
from services.logging import configure_logging
from services.web.auth import TokenSigner

KEYS = {
    name: f"the {name} of the tests + its own"
    for name in ("token_secret", "api_key", "admin_key", "write_key", "identity_key")
}
TOKEN = TokenSigner(SecretStr(KEYS["token_secret"])).issue("user:a.b-c_d").token


@pytest.fixture(autouse=True)
def logging_kept() -> Iterator[None]:
    """The logging of the tests, afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_key_and_no_token_is_written(
    log_format: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {name: SecretStr(key) for name, key in KEYS.items()}
    settings = IngestSettings(log_format=log_format, **secrets)  # type: ignore[arg-type]
    configure_logging(settings, "ingest")
    basic = b64encode(f"{KEYS['write_key']}:".encode()).decode()
    log = structlog.get_logger()

    def fail(api_key: str, authorization: str) -> None:
        token, [header] = TOKEN, [authorization]
        raise ValueError(f"cannot take {len(api_key) + len(header)} of {token} and {KEYS['api_key']}")

    try:
        fail(KEYS["api_key"], f"Bearer {KEYS['admin_key']}")
    except ValueError:
        log.exception("a bug", key=KEYS["identity_key"])
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logging.getLogger("uvicorn.error").info('%s - "WebSocket /v1/live?visitor_id=v&token=%s"', "1", TOKEN)
    logging.getLogger("httpx").info("HTTP Request: GET http://shop/v1/popular?token=any-thing&k=3")
    log.warning("headers", sent={"authorization": f"Basic {basic}", "x-eddy-token": TOKEN})
    log.warning("secret", value=KEYS["token_secret"])

    written = capsys.readouterr().err
    assert written.count("***") >= 8
    assert "Traceback" in written
    assert "visitor_id=v" in written
    for secret in (*KEYS.values(), TOKEN, basic, "any-thing"):
        assert secret not in written
