"""The products as they are now: of two messages about one product the newest `updated_at` counts."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from heapq import merge
from itertools import combinations
from typing import Final

from cachetools import LRUCache

from schemas.products import Product
from schemas.sessions import purchase_digest
from services.recommender.index.port import Hit, Where

FILTERS_KEPT: Final = 32  # of the newest filters, what each product was found to be
PRIOR: Final = 20.0  # purchases that a popularity of 1 in the catalogue counts as


Order = tuple[float, int, str]  # popularity and time, the greatest first, and the product's id


class FilterMatches(dict[str, bool]):
    """Product id → whether it fits a filter, found out when it is asked for and kept until it changes."""

    def __init__(self, fits: Callable[[str], bool]) -> None:
        super().__init__()
        self._fits = fits

    def __missing__(self, product_id: str) -> bool:
        fits = self[product_id] = self._fits(product_id)
        return fits


class Catalogue:
    """Products by id, and those that are popular."""

    def __init__(self) -> None:
        self._products: dict[str, Product] = {}
        self._by_digest: dict[int, tuple[str, ...]] = {}  # purchase_digest → products: as good as always one
        self._brands = Counter[str]()  # in small letters → products
        self.wording = 0  # grows when the words that products are searched by change
        self._counts: Mapping[str, float] = {}
        # By popularity: all by the shop's own figure, and those that visitors did something with lately.
        self._own: list[Order] | None = None
        self._counted: list[Order] | None = None
        self._fitting: LRUCache[Where, FilterMatches] = LRUCache(FILTERS_KEPT)

    def __len__(self) -> int:
        return len(self._products)

    def get(self, product_id: str) -> Product | None:
        """The product, or None."""
        return self._products.get(product_id)

    def put(self, product: Product) -> bool:
        """Takes a product unless a newer one is known; False when nothing changed."""
        known = self._products.get(product.product_id)
        if known is not None and (known.updated_at > product.updated_at or known == product):
            return False
        self._products[product.product_id] = product
        if known is None:
            digest = purchase_digest(product.product_id)
            self._by_digest[digest] = (*self._by_digest.get(digest, ()), product.product_id)
        self._move(known, product)
        self._count_brands(known, product)
        if known is None or _words(known) != _words(product):
            self.wording += 1
        self._invalidate(product.product_id)
        return True

    def remove(self, product_id: str) -> bool:
        """Forgets a product; False when it was unknown."""
        known = self._products.pop(product_id, None)
        if known is not None:
            digest = purchase_digest(product_id)
            others = tuple(each for each in self._by_digest.pop(digest) if each != product_id)
            if others:
                self._by_digest[digest] = others
        self._move(known, None)
        self._count_brands(known, None)
        self.wording += known is not None
        self._invalidate(product_id)
        return known is not None

    def find_by_digest(self, digests: Iterable[int]) -> frozenset[str]:
        """The products that sessions remember as bought."""
        return frozenset(each for digest in digests for each in self._by_digest.get(digest, ()))

    def products(self) -> tuple[Product, ...]:
        """All products, as they are now."""
        return tuple(self._products.values())

    def brands_in(self, text: str) -> tuple[str, ...]:
        """Brands that the text names, in small letters: runs of its words."""
        words = text.casefold().split()
        spans = combinations(range(len(words) + 1), 2)
        runs = dict.fromkeys(" ".join(words[start:end]) for start, end in spans)
        return tuple(run for run in runs if run in self._brands)

    def _count_brands(self, before: Product | None, after: Product | None) -> None:
        if before is not None and before.brand is not None:
            name = _one_spaced(before.brand)
            self._brands[name] -= 1
            if not self._brands[name]:
                del self._brands[name]
        if after is not None and after.brand is not None:
            self._brands[_one_spaced(after.brand)] += 1

    def _invalidate(self, product_id: str) -> None:
        for fitting in self._fitting.values():
            fitting.pop(product_id, None)

    def fitting(self, where: Where) -> Mapping[str, bool]:
        """Of any product whether it is in the catalogue and fits, `exclude` apart; for now, not to be kept.

        Hundreds of candidates a row are asked about: most have been before.
        """
        everyone = replace(where, exclude=frozenset())
        if everyone not in self._fitting:
            self._fitting[everyone] = FilterMatches(lambda product_id: self.allows(product_id, everyone))
        return self._fitting[everyone]

    def allows(self, product_id: str, where: Where) -> bool:
        """Whether a product may be shown: the index can lag behind, this does not."""
        product = self._products.get(product_id)
        return product is not None and where.allows(product)

    def count(self, counts: Mapping[str, float]) -> None:
        """What visitors did with each product lately; of all others only the catalogue's word is known."""
        self._counts = counts
        self._counted = None

    def popular(
        self,
        k: int,
        where: Where,
        brand_max: int,
        *,
        row: int | None = None,
        beside: Iterable[str | None] = (),
    ) -> list[Hit]:
        """The most popular products, mixed: so many of a brand at most, and a quarter of one shelf.

        `row` is the length of the row where it is less than k; `beside` the brands that are in it already.
        """
        allowed = filter(where.allows, self._by_popularity())
        brands = Counter(filter(None, beside))
        found = _mix_brands(allowed, k, brands, brand_max, shelf_max=max(2, (row or k) // 4))
        return [Hit(product.product_id, self.popularity(product)) for product in found]

    def popularity(self, product: Product) -> float:
        """Decayed counts, and the shop's own figure as if it had been counted PRIOR times."""
        return self._counts.get(product.product_id, 0.0) + PRIOR * (product.popularity or 0.0)

    def _by_popularity(self) -> Iterator[Product]:
        if self._own is None:
            self._own = sorted(_order(each, PRIOR * (each.popularity or 0.0)) for each in self.products())
        if self._counted is None:
            counted = map(self.get, self._counts)
            self._counted = sorted(_order(each, self.popularity(each)) for each in counted if each)
        others = (each for each in self._own if each[-1] not in self._counts)
        return (self._products[each[-1]] for each in merge(others, self._counted))

    def _move(self, before: Product | None, after: Product | None) -> None:
        """Changes places in what is in order: sorting 100,000 for each that changes takes half a second."""
        each = before or after
        if each is not None and each.product_id in self._counts:
            self._counted = None
        if self._own is None:
            return
        if before is not None:
            del self._own[bisect_left(self._own, _order(before, PRIOR * (before.popularity or 0.0)))]
        if after is not None:
            insort(self._own, _order(after, PRIOR * (after.popularity or 0.0)))


def _order(product: Product, popularity: float) -> Order:
    return (-popularity, -product.updated_at, product.product_id)


def _words(product: Product) -> tuple[object, ...]:
    return product.brand, product.category, product.type, product.tags, product.name


def _one_spaced(name: str) -> str:
    return " ".join(name.casefold().split())


def _mix_brands(
    products: Iterable[Product], k: int, brands: Counter[str], brand_max: int, shelf_max: int
) -> list[Product]:
    shelves = Counter[tuple[str, ...]]()
    found: list[Product] = []
    spare: list[Product] = []
    for product in products:
        if len(found) == k or len(spare) > 20 * k:
            break
        full = product.brand is not None and brands[product.brand] >= brand_max
        if full or (product.category and shelves[product.category] >= shelf_max):
            spare.append(product)
            continue
        brands[product.brand or ""] += 1
        shelves[product.category] += 1
        found.append(product)
    return [*found, *spare][:k]  # a short row is worse than one that is less mixed
