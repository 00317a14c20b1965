"""Neighbours are asked for once, and what changed since is found all the same."""

from pathlib import Path

import numpy as np
import pytest

from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.model.content import FOR_YOU
from services.product_numbers import CHANGES_KEPT, ProductNumbers
from services.recommender.catalogue import Catalogue
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.content_candidates import ContentRetriever, InterestQuery
from services.recommender.pipeline.neighbours import SPARE
from services.vector_replica import VectorReplica
from tests.support.pipeline import COUNT, SHOWN, MayBeAway, PipelineShop, ids

LAYOUT = Layout.of(text_width=48, image_width=32)
SHELVES = 40


async def test_a_row_asks_for_the_neighbours_of_a_product_once(shop: PipelineShop) -> None:
    await shop.row("p0")
    asked = shop.index.questions
    await shop.row("p0", "p3")
    assert shop.index.questions == asked + 1  # for those of p3
    await shop.row("p3", "p0")
    await shop.row("p0", "p3", "p0")
    assert shop.index.questions == asked + 1


async def test_while_the_index_is_away_rows_are_made_of_what_is_remembered(shop: PipelineShop) -> None:
    before = await shop.row("p0", "p3")
    shop.index.away = True
    again = await shop.row("p3", "p0")
    assert again.fallback is None
    assert {*ids(again)} == {*ids(before)}
    assert (await shop.row("p0", "p6")).fallback == "index_away"


async def test_a_product_that_comes_later_is_among_the_candidates(shop: PipelineShop) -> None:
    assert "p99" not in ids(await shop.row("p0", k=COUNT))
    shop.put(99)
    shop.describe(99)
    assert "p99" in ids(await shop.row("p0", k=COUNT))


async def test_one_that_went_and_came_back_is_shown_again(shop: PipelineShop) -> None:
    shop.put(3, availability="out_of_stock", updated_at=1)
    assert "p3" not in ids(await shop.row("p0", k=COUNT))
    shop.put(3, updated_at=2)
    shop.describe(3)
    assert "p3" in ids(await shop.row("p0", k=COUNT))


async def test_after_many_changes_it_is_asked_anew(shop: PipelineShop) -> None:
    await shop.row("p0")
    asked = shop.index.questions
    for turn in range(CHANGES_KEPT):
        shop.put(5, price=2.0 + turn, updated_at=1 + turn)
    await shop.row("p0")
    assert shop.index.questions == asked
    shop.put(5, price=1.0, updated_at=10_000)
    await shop.row("p0")
    assert shop.index.questions == asked + 1


def change_much(shop: PipelineShop) -> None:
    known = shop.catalogue.get("p5")
    assert known is not None
    for turn in range(2 * CHANGES_KEPT):
        shop.put(5, price=2.0 + turn % 7, updated_at=known.updated_at + 1 + turn)


async def test_after_a_load_all_answers_are_made_anew(shop: PipelineShop) -> None:
    await shop.row("p0", "p3", "p6")
    change_much(shop)
    before = shop.index.queries
    await shop.row("p0", "p3", "p6")
    assert shop.index.queries == before + 3


async def test_where_much_changes_all_the_time_it_is_one_a_row(shop: PipelineShop) -> None:
    await shop.row("p0", "p3", "p6")
    asked = []
    for _ in range(SPARE):
        change_much(shop)
        before = shop.index.queries
        await shop.row("p0", "p3", "p6")
        asked.append(shop.index.queries - before)
    assert asked[:10] == [3] * 10
    assert asked[-10:] == [1] * 10


async def test_answers_that_are_behind_serve_while_the_index_is_away(shop: PipelineShop) -> None:
    before = await shop.row("p0", "p3")
    change_much(shop)
    shop.index.away = True
    again = await shop.row("p0", "p3")
    assert again.fallback is None
    assert ids(again) == ids(before)


class LargeShop:
    """Products on shelves, some like those of other shelves, and a retriever on a real index."""

    def __init__(self, folder: Path, count: int) -> None:
        numbers = ProductNumbers()
        self.random = np.random.default_rng(3)
        self.catalogue, self.replica = Catalogue(numbers), VectorReplica(LAYOUT, numbers)
        self.index = MayBeAway(EdgeIndex(LAYOUT, folder))
        self.centres = self.random.normal(size=(SHELVES, LAYOUT.width))
        self.finder = ContentRetriever(self.catalogue, self.index, self.replica, LAYOUT, Metrics())
        described = [self.product(number) for number in range(count)]
        self.index.upsert(described)

    def product(self, number: int) -> tuple[Product, Vector]:
        shelf = number % SHELVES
        made = Product(
            product_id=f"p{number}",
            name="",
            price=1.0,
            currency="EUR",
            availability="in_stock" if number % 7 else "out_of_stock",
            updated_at=0,
            category=(f"shelf {shelf % 8}", f"{shelf}"),
        )
        own = self.random.normal(size=LAYOUT.width)
        vector = LAYOUT.normalise(self.centres[shelf] + own).astype(np.float32)
        self.catalogue.put(made)
        self.replica.put(made, vector.astype(np.float16))
        return made, vector

    def interest(self, products: list[int]) -> InterestQuery:
        numbers = self.replica.numbers.find_all([f"p{number}" for number in products])
        counts = 0.5 ** (np.arange(len(products)) / 6)  # the newest first
        mean = (counts[:, None] * self.replica.units_of(numbers)).sum(axis=0)
        direction = LAYOUT.normalise(mean).astype(np.float32)
        return InterestQuery(LAYOUT.apply_weights(direction, FOR_YOU), 1.0, numbers)

    def visit(self) -> list[int]:
        """Products of one top-level category, some of one shelf."""
        top, length = int(self.random.integers(8)), int(self.random.integers(1, 12))
        shelves = [top + 8 * int(self.random.integers(SHELVES // 8)) for _ in range(length)]
        return [shelf + SHELVES * int(self.random.integers(60)) for shelf in shelves]


@pytest.mark.parametrize("k", [12, 28])
async def test_it_finds_what_an_exact_search_finds(tmp_path: Path, k: int) -> None:
    """The direction's promise: of the first 60 at least 95 %."""
    shop = LargeShop(tmp_path, 2_400)
    shared, wanted = 0, 0
    for _ in range(40):
        interest = shop.interest(shop.visit())
        [near] = await shop.finder.nearest_each([interest], FOR_YOU, k, SHOWN) or []
        found = near.only(shop.catalogue.filter(SHOWN).mask(near.numbers), 60)
        exact = shop.index.nearest(interest.query, 60, SHOWN)
        shared += len({hit.product_id for hit in exact} & {*shop.replica.numbers.ids(found.numbers)})
        wanted += len(exact)
    shop.index.close()
    assert wanted == 40 * 60
    assert shared / wanted >= 0.95
