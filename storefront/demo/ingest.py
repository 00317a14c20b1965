"""Tells ingest of a product's change, and of a visitor who asks to be forgotten."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urljoin

import httpx
import msgspec
from pydantic import SecretStr

from schemas.products import Product

WITHIN_S: Final = 5.0


class NotTaken(Exception):
    """Ingest has not taken it; the text says why."""


class Ingest:
    """The back end's side of the ingest API. `shop_url`: what addresses of products are told with."""

    def __init__(
        self,
        url: str,
        api_key: SecretStr | None,
        transport: httpx.AsyncBaseTransport | None,
        shop_url: str | None = None,
    ) -> None:
        self._url = url
        self._shop_url = shop_url
        self._api_key = api_key
        self._transport = transport

    async def put(self, product: Product) -> None:
        """Raises NotTaken unless Kafka has the product's new description."""
        if self._shop_url is not None:
            links = {"url": product.url, "image_url": product.image_url}
            whole = {name: urljoin(self._shop_url, link) for name, link in links.items() if link}
            product = msgspec.structs.replace(product, **whole)
        body = msgspec.json.encode({"products": [product]})
        key = self._api_key
        shown = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        await self._asked("PUT", "/v1/products", shown, HTTPStatus.ACCEPTED, body)

    async def forget(self, token: str) -> None:
        """Forgets whose token this is, and who is proven to be the same person. Raises NotTaken."""
        body = msgspec.json.encode({"token": token})
        answer = await self._asked("POST", "/v1/visitors", {}, HTTPStatus.OK, body)
        renewed = answer.json()
        path = f"/v1/visitors/{quote(renewed['visitor_id'])}"
        await self._asked("DELETE", path, {"X-Eddy-Token": renewed["token"]}, HTTPStatus.ACCEPTED)

    async def _asked(
        self,
        method: str,
        path: str,
        shown: Mapping[str, str],
        expected: HTTPStatus,
        body: bytes | None = None,
    ) -> httpx.Response:
        headers = dict(shown) | ({"Content-Type": "application/json"} if body is not None else {})
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
