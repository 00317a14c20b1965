"""Versions of a model as the trainer would write them, their releases, and the rows that they give."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from infra.stack.broker import Broker
from schemas import models
from schemas.models import ModelRelease
from tests.support.models import Past, store_artifact
from tests.support.services import KEY, RunningService
from tests.support.shop import (
    COUNT,
    Json,
    Shop,
    open_shop,
)

VISITORS = tuple(f"visitor-{number}" for number in range(6))


K = 6


def past(step: int) -> Past:
    """Sessions in which each product is followed by the ones `step` and 2 · `step` after it."""
    return [[f"p{(number + nth * step) % COUNT}" for nth in range(3)] for number in range(COUNT)] * 3


ONE, OTHER = past(7), past(11)  # of another shelf each: rows by content alone, or of the other, differ


def version(number: int) -> str:
    return f"20241124T04{number // 60:02}{number % 60:02}Z-3f9a"


class Models:
    """Writes versions as the trainer would, and releases them."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self._made = 0

    def store(self, past: Past) -> ModelRelease:
        """A new version in the store, not released."""
        self._made += 1
        name = version(self._made)
        return store_artifact(self.folder / name, past, name)

    def store_spoiled(self, spoil: Callable[[Path], object]) -> ModelRelease:
        """The same, with something wrong in its folder."""
        found = self.store(OTHER)
        spoil(self.folder / found.version)
        return found

    async def publish(self, found: ModelRelease | None, name: str = "behaviour") -> None:
        await self.shop.put_model(name, models.encode(found) if found else None)


def open_visited_shop(broker: Broker) -> Shop:
    """A shop of its own, in which some have looked at something."""
    shop = open_shop(broker)

    async def visit() -> None:
        for number, visitor in enumerate(VISITORS):
            await shop.look_at(visitor, f"p{3 * number}")
            await shop.look_at(visitor, f"p{3 * number + 1}")

    asyncio.run(visit())
    return shop


def row(service: RunningService, visitor: str) -> Json:
    """The visitor's row by HTTP, without the id that each answer has of its own."""
    answer = service.http.get(
        "/v1/recommendations",
        params={"visitor_id": visitor, "k": K},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    del body["recommendation_id"]
    return body


def cut_file(folder: Path) -> None:
    path = folder / "sessions_items.npy"
    path.write_bytes(path.read_bytes()[:-1])


def change_byte(folder: Path) -> None:
    path = folder / "item2vec_out.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
