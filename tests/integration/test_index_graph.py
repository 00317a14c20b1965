"""The embedded index gets a new graph from a process of its own, while it serves and changes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.recommender.index.graph import GraphBuilder
from services.recommender.index.port import Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from tests.support.patience import eventually

LAYOUT = Layout.of(text_width=48, image_width=32)
COUNT = 12_000
EVERYTHING = Where()


class Shop:
    """An index, and what it must know."""

    def __init__(self, folder: Path) -> None:
        self.random = np.random.default_rng(5)
        self.folder = folder / "index"
        self.index = EdgeIndex(LAYOUT, self.folder)
        self.turn = asyncio.Lock()
        self.builder = GraphBuilder(self.index, self.turn, Metrics())
        self.known: dict[str, Vector] = {}
        self.put(range(COUNT))
        self.index.optimise()

    def put(self, numbers: Iterable[int]) -> None:
        drawn = [(draw_product(number), self.vector(number)) for number in numbers]
        for start in range(0, len(drawn), 1_000):
            self.index.upsert(drawn[start : start + 1_000])
        self.known.update((product.product_id, vector) for product, vector in drawn)

    def remove(self, numbers: Iterable[int]) -> None:
        ids = [f"p{number}" for number in numbers]
        self.index.remove(ids)
        for product_id in ids:
            self.known.pop(product_id, None)

    def vector(self, number: int) -> Vector:
        shelf = np.random.default_rng(number % 40).normal(size=LAYOUT.width)
        return LAYOUT.normalise(shelf + self.random.normal(size=LAYOUT.width)).astype(np.float32)

    def recall(self) -> float:
        """Of the 20 nearest, the share that the index finds."""
        names, matrix = np.array([*self.known]), np.array([*self.known.values()])
        shares = []
        for at in self.random.integers(len(names), size=50).tolist():
            hits = [hit.product_id for hit in self.index.nearest(matrix[at], 20, EVERYTHING)]
            assert {*hits} <= self.known.keys()
            best = names[np.argsort(-(matrix @ matrix[at]))[:20]]
            shares.append(len({*hits} & {*best.tolist()}) / 20)
        return float(np.mean(shares))


def draw_product(number: int) -> Product:
    return Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(f"Shelf {number % 40}",),
    )


@asynccontextmanager
async def shop_in(folder: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder)
    try:
        yield shop
    finally:
        shop.index.close()


def folders(parent: Path) -> list[str]:
    return [each.name for each in parent.iterdir()]


def builders() -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process().children()
        if each.is_running() and "services.recommender.index.graph" in each.cmdline()
    ]


async def test_a_new_graph_holds_all_also_what_is_written_meanwhile(tmp_path: Path) -> None:
    async with shop_in(tmp_path) as shop:
        shop.put(range(0, COUNT, 2))
        shop.remove(range(0, 500))
        assert shop.index.beside_graph == COUNT // 2 + 250
        assert shop.index.is_overgrown
        for turn in (1, 2):
            building = asyncio.create_task(shop.builder.build())
            await eventually(lambda: bool(builders()))
            async with shop.turn:  # as everybody who writes
                shop.put(range(1_000 * turn, 1_000 * turn + 300))
                shop.put([COUNT + turn])
                shop.remove([7_000 + turn])
            assert await building
            assert shop.index.beside_graph == 302
            assert shop.index.count() == len(shop.known)
            assert shop.recall() > 0.97
            assert folders(tmp_path) == [f"index.{turn}"]


async def test_one_that_cannot_be_built_leaves_the_index_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop_in(tmp_path) as shop:
        shop.put(range(0, COUNT, 2))
        monkeypatch.setattr(sys, "executable", "/bin/false")
        assert not await shop.builder.build()
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        assert not await shop.builder.build()
        assert folders(tmp_path) == ["index"]
        assert shop.index.count() == len(shop.known)
        assert shop.recall() > 0.97
        monkeypatch.undo()
        assert await shop.builder.build()
        assert shop.recall() > 0.97


async def test_who_ends_meanwhile_leaves_no_process_and_no_copy(tmp_path: Path) -> None:
    async with shop_in(tmp_path) as shop:
        building = asyncio.create_task(shop.builder.build())
        await eventually(lambda: bool(builders()))
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
        assert builders() == []
        assert folders(tmp_path) == ["index"]


async def test_what_a_killed_process_has_moved_to_is_cleared_away(tmp_path: Path) -> None:
    async with shop_in(tmp_path) as killed:
        assert await killed.builder.build()
        anew = EdgeIndex(LAYOUT, killed.folder)
        assert folders(tmp_path) == ["index"]
        assert anew.count() == 0
        anew.close()
