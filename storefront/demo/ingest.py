"""Tells ingest of a product's change, and of a visitor who asks to be forgotten."""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import httpx
import msgspec
from pydantic import SecretStr

from schemas.products import Product

WITHIN_S: Final = 5.0


class NotTaken(Exception):
    """Ingest has not taken it; the text says why."""


class Ingest:
    """The back end's side of the ingest API."""

    def __init__(
        self,
        url: str,
        api_key: SecretStr | None,
        admin_key: SecretStr | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._admin_key = admin_key
        self._transport = transport

    async def put(self, product: Product) -> None:
        """Raises NotTaken unless Kafka has the product's new description."""
        body = msgspec.json.encode({"products": [product]})
        await self._asked("PUT", "/v1/products", self._api_key, HTTPStatus.ACCEPTED, body)

    async def forget(self, token: str) -> None:
        """Forgets the visitor whose token this is, and who is the same person. Raises NotTaken."""
        body = msgspec.json.encode({"token": token})
        answer = await self._asked("POST", "/v1/visitors", None, HTTPStatus.OK, body)
        visitor_id = answer.json()["visitor_id"]
        path = f"/v1/visitors/{quote(visitor_id)}"
        await self._asked("DELETE", path, self._admin_key, HTTPStatus.ACCEPTED)

    async def _asked(
        self, method: str, path: str, key: SecretStr | None, expected: HTTPStatus, body: bytes | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        try:
            async with httpx.AsyncClient(
                base_url=self._url, timeout=WITHIN_S, transport=self._transport
            ) as client:
                answer = await client.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotTaken(f"ingest at {self._url} does not answer ({type(error).__name__})") from error
        if answer.status_code != expected:
            raise NotTaken(f"ingest answered {answer.status_code}: {answer.text[:300]}")
        return answer
