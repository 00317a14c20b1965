"""A made-up shop, small enough to learn from in a second: for the tests of the benchmark on accuracy."""

import gzip
from pathlib import Path
from typing import Final

import numpy as np

from schemas.sessions import KIND_OF
from services.trainer.cases import Case
from services.trainer.lambdarank import LambdaRank
from services.trainer.sessions import Histories, compact
from services.trainer.skipgram import SkipGram
from services.trainer.training import Parameters

PRODUCTS: Final = 60
LENGTH: Final = 4
QUICK: Final = Parameters(
    item2vec=SkipGram(width=8, epochs=2), lambdarank=LambdaRank(rounds=5, leaf_rows=5), threads=1
)
BRANDS: Final = ("aqua", "bosch", "casio")


def histories(sessions: int = 1_500) -> Histories:
    """Visitors go from a product to the one after it, most of the time."""
    items = np.array(_walks(sessions), np.int32)
    products = tuple(f"p{number:02}" for number in range(PRODUCTS))
    return compact(
        products,
        items.ravel(),
        np.arange(items.size, dtype=np.int64) * 1_000,
        np.full(items.size, KIND_OF["view_item"], np.uint8),
        np.arange(sessions + 1, dtype=np.int64) * LENGTH,
    )


def cases() -> list[Case]:
    """One for each product: what comes after it and the one before."""
    names = [f"p{number % PRODUCTS:02}" for number in range(PRODUCTS + 2)]
    return [Case((names[number], names[number + 1]), names[number + 2]) for number in range(PRODUCTS)]


def rees46(path: Path, sessions: int = 120) -> Path:
    """A file with REES46's columns: each visitor comes once, and puts the third product into the cart."""
    lines = ["event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"]
    for visitor, walk in enumerate(_walks(sessions)):
        for place, product in enumerate(walk):
            at = f"2019-10-01 {visitor // 60:02}:{visitor % 60:02}:{place:02} UTC"
            kind = "cart" if place == 2 else "view"
            shelf = f"home.shelf_{product // 6}"
            brand = BRANDS[product % len(BRANDS)]
            about = f"{1_000 + product},{product // 6},{shelf},{brand},{10 + product}"
            lines.append(f"{at},{kind},{about},{visitor},s{visitor}")
    with gzip.open(path, "wt") as file:
        file.write("\n".join([*lines, ""]))
    return path


def _walks(sessions: int) -> list[list[int]]:
    random = np.random.default_rng(3)
    steps = random.choice([1, 1, 1, 7], size=(sessions, LENGTH - 1))
    starts = random.integers(PRODUCTS, size=(sessions, 1))
    walks = np.concatenate([starts, starts + np.cumsum(steps, axis=1)], axis=1) % PRODUCTS
    return [[int(product) for product in walk] for walk in walks]
