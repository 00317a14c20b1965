"""Histories of made-up shops, and parameters that learn from them in a second."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.sessions import KIND_OF
from services.trainer.lambdarank import LambdaRank
from services.trainer.sessions import Histories, compact
from services.trainer.skipgram import SkipGram
from services.trainer.training import Parameters

SMALL: Final = Parameters(
    item2vec=SkipGram(width=16, epochs=20),
    lambdarank=LambdaRank(cases=800, rounds=10),
    rank_share=0.5,
    threads=1,
)


def histories(sessions: Sequence[Sequence[str]]) -> Histories:
    """Views, a second apart."""
    products = tuple(sorted({product for session in sessions for product in session}))
    items = [products.index(product) for session in sessions for product in session]
    lengths = [len(session) for session in sessions]
    return compact(
        products,
        np.array(items, dtype=np.int32),
        np.arange(len(items), dtype=np.int64) * 1000,
        np.full(len(items), KIND_OF["view_item"], dtype=np.uint8),
        np.cumsum([0, *lengths], dtype=np.int64),
    )


def shop(count: int) -> list[list[str]]:
    """Pairs that are looked at one after the other: a0 b0, a1 b1, …"""
    return [[f"a{number % 40}", f"b{number % 40}"] for number in range(count)]
