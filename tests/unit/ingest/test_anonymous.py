"""What ingest refuses of somebody who shows nothing, or what opens something else."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from schemas.deadletters import RETURN_PATH
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings
from services.web.auth import TokenSigner

SECRET: Final = SecretStr("a secret of the tests")
KEY: Final = "the key of the shop's back end"
WRITE_KEY: Final = "a write key of an SDK"
ADMIN_KEY: Final = "the admin key of the shop"

SETTINGS: Final = IngestSettings(
    token_secret=SECRET,
    api_key=SecretStr(KEY),
    write_key=SecretStr(WRITE_KEY),
    admin_key=SecretStr(ADMIN_KEY),
    kafka_bootstrap="127.0.0.1:9",
)
TOKEN: Final = TokenSigner(SECRET).issue("somebody").token
AS_TOKEN: Final = {"params": {"token": TOKEN}}
AS_WRITE_KEY: Final = {"headers": {"Authorization": f"Basic {b64encode(f'{WRITE_KEY}:'.encode()).decode()}"}}
AS_BACK_END: Final = {"headers": {"Authorization": f"Bearer {KEY}"}}
NOBODY: Final[dict[str, Any]] = {}

EVENT: Final = {
    "event_id": "01JD7Z8QX3N5R2V9W4T6Y8B1CM",
    "type": "view_item",
    "visitor_id": "another",
    "occurred_at": 1_798_000_000_000,
    "product_id": "p1",
}
IDENTITY: Final = {"anonymousId": "somebody", "userId": "customer-17"}
VIEW: Final = {"anonymousId": "another", "event": "Product Viewed", "properties": {"product_id": "p1"}}


@pytest.fixture
async def ingest() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(SETTINGS))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "shown"),
    [
        *(("PUT", "/v1/products", {"products": []}, each) for each in (NOBODY, AS_TOKEN, AS_WRITE_KEY)),
        *(("DELETE", "/v1/products/p1", None, each) for each in (NOBODY, AS_TOKEN, AS_WRITE_KEY)),
        ("POST", "/v1/events", {"events": [EVENT]}, NOBODY),
        ("POST", "/v1/events", {"events": [EVENT]}, AS_WRITE_KEY),
        *(("POST", f"/v1/{kind}", IDENTITY, NOBODY) for kind in ("identify", "page", "alias")),
        ("POST", "/v1/track", VIEW, NOBODY),
        ("POST", "/v1/batch", {"batch": [IDENTITY | {"type": "identify"}]}, NOBODY),
        ("POST", "/v1/visitors", {"visitor_id": "another"}, NOBODY),
        ("POST", "/v1/visitors", {"visitor_id": "another"}, AS_WRITE_KEY),
        *(("DELETE", "/v1/visitors/another", None, each) for each in (NOBODY, AS_WRITE_KEY)),
        ("POST", RETURN_PATH, {"letters": []}, NOBODY),
    ],
)
async def test_who_shows_nothing_or_another_key_is_refused(
    ingest: httpx.AsyncClient, method: str, path: str, body: Any, shown: Any
) -> None:
    answer = await ingest.request(method, path, json=body, **shown)
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
