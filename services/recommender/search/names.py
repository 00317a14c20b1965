"""Products by their whole name or id, as somebody types it; and the words of all names."""

import re
from collections.abc import Iterable
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from schemas.products import Product
from services.recommender.search.text import normalise_text

_WORD: Final = re.compile(r"\w+")


def name_words(text: str) -> list[str]:
    """Its words without case, accents and signs."""
    return _WORD.findall(normalise_text(text))


class ProductNames:
    """By hashes in order: 24 bytes a product and not 300. Made once; it does not change."""

    def __init__(self, hashes: npt.NDArray[np.int64], products: list[str], words: frozenset[str]) -> None:
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._products = [products[place] for place in order.tolist()]
        self.words = words

    @classmethod
    def of(cls, products: Iterable[Product]) -> Self:
        """Of all products."""
        hashes: list[int] = []
        found: list[str] = []
        words: set[str] = set()
        for product in products:
            name, product_id = name_words(product.name), name_words(product.product_id)
            words.update(name)
            for key in {tuple(name), tuple(product_id)} - {()}:
                hashes.append(hash(key))
                found.append(product.product_id)
        return cls(np.array(hashes, np.int64), found, frozenset(words))

    def find(self, query: str) -> tuple[str, ...]:
        """The products that are called exactly so, or have the id; none for an empty query."""
        words = tuple(name_words(query))
        if not words:
            return ()
        key = np.int64(hash(words))
        begin, end = (int(np.searchsorted(self._hashes, key, side=side)) for side in ("left", "right"))
        return tuple(dict.fromkeys(self._products[begin:end]))
