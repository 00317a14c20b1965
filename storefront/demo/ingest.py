"""Tells ingest of a product's change."""

from http import HTTPStatus
from typing import Final

import httpx
import msgspec
from pydantic import SecretStr

from schemas.products import Product

WITHIN_S: Final = 5.0


class NotTaken(Exception):
    """Ingest has not taken the change; the text says why."""


class Ingest:
    """The products' side of the ingest API."""

    def __init__(
        self, url: str, api_key: SecretStr | None, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key.get_secret_value()}"
        self._transport = transport

    async def put(self, product: Product) -> None:
        """Raises NotTaken unless Kafka has the product's new description."""
        body = msgspec.json.encode({"products": [product]})
        try:
            async with httpx.AsyncClient(
                base_url=self._url, timeout=WITHIN_S, transport=self._transport
            ) as client:
                answer = await client.put("/v1/products", content=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise NotTaken(f"ingest at {self._url} does not answer ({type(error).__name__})") from error
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise NotTaken(f"ingest answered {answer.status_code}: {answer.text[:300]}")
