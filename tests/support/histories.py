"""Histories of visits by the letters of their products."""

import numpy as np

from schemas.sessions import KIND_OF
from schemas.times import DAY_MS
from services.trainer.sessions import Histories, compact

VIEW, REMOVE = KIND_OF["view_item"], KIND_OF["remove_from_cart"]


def histories(*sessions: tuple[float, str], types: dict[str, int] | None = None) -> Histories:
    """Sessions by the day on which they end and their products, a letter each, a second apart."""
    letters = "".join(items for _, items in sessions)
    products = tuple(sorted(set(letters)))
    times = [
        int(day * DAY_MS) - (len(items) - 1 - place) * 1000
        for day, items in sessions
        for place in range(len(items))
    ]
    return compact(
        products,
        np.array([products.index(each) for each in letters], dtype=np.int32),
        np.array(times, dtype=np.int64),
        np.array([(types or {}).get(each, VIEW) for each in letters], dtype=np.uint8),
        np.cumsum([0, *(len(items) for _, items in sessions)]),
    )
