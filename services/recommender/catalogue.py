"""The products as they are now: of two messages about one product the newest `updated_at` counts."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from heapq import heappop, heappush, merge
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from schemas.products import Product, at_moment
from schemas.sessions import purchase_digest
from services.clock import now_ms
from services.product_numbers import UNKNOWN, Column, Ints, Numbering, ProductNumbers
from services.recommender.index.port import NONE, Hit, Where

FILTERS_KEPT: Final = 32  # of the newest filters, what each product was found to be
PRIOR: Final = 20.0  # purchases that a popularity of 1 in the catalogue counts as


Mask = npt.NDArray[np.bool_]

# What of a product is known about a filter.
NOT_LOOKED_AT: Final = 0
ALLOWED: Final = 1
HIDDEN: Final = 2

Order = tuple[float, int, str]  # popularity and time, the greatest first, and the product's id


class ProductFilter:
    """Which products may be shown. Only for the moment, before anything is awaited.

    Hundreds of candidates a row are asked about: most have been before, so what was found is kept in
    `matches` until the product changes.
    """

    def __init__(self, matches: Column[np.int8], excluded: Mask, look_at: Callable[[int], bool]) -> None:
        self._matches = matches
        self._excluded = excluded
        self._look_at = look_at

    def mask(self, numbers: Ints) -> Mask:
        """(n,) which of these may be shown."""
        found = self._matches.take(numbers)
        if not found.all():
            for number in numbers[found == NOT_LOOKED_AT].tolist():
                self._matches.put(number, ALLOWED if self._look_at(number) else HIDDEN)
            found = self._matches.take(numbers)
        # What was numbered after this filter was made is not excluded: the last place stands for it.
        allowed: Mask = (found == ALLOWED) & ~self._excluded.take(numbers, mode="clip")
        return allowed


class Catalogue:
    """Products by id and by number, and those that are popular.

    `numbers` is the numbering it shares with others, its own where there are none. Products are kept as they
    are by the `clock` (Unix ms): a sale that has ended has taken its price with it.
    """

    def __init__(self, numbers: ProductNumbers | None = None, clock: Callable[[], float] = now_ms) -> None:
        self.numbers = ProductNumbers() if numbers is None else numbers
        self._clock = clock
        self._price_changes: list[tuple[int, str]] = []  # a heap of moments (Unix ms), and whose they are
        self._products: dict[str, Product] = {}
        self._by_digest: dict[int, tuple[str, ...]] = {}  # purchase_digest → products: as good as always one
        self._brands = Counter[str]()  # in small letters → products
        self.wording = 0  # grows when the words that products are searched by change
        self._counts: Mapping[str, float] = {}
        # By popularity: all by the shop's own figure, and those that visitors did something with lately.
        self._own: list[Order] | None = None
        self._counted: list[Order] | None = None
        self._matches: LRUCache[Where, Column[np.int8]] = LRUCache(FILTERS_KEPT)
        self._brand_codes = Numbering()  # by their exact names
        self._brand_of = Column(self.numbers, np.int32, UNKNOWN)
        self._shelf_codes = Numbering()
        self._shelf_of = Column(self.numbers, np.int32, UNKNOWN)

    def __len__(self) -> int:
        return len(self._products)

    def get(self, product_id: str) -> Product | None:
        """The product, or None."""
        return self._products.get(product_id)

    def put(self, product: Product) -> bool:
        """Takes a product unless a newer one is known; False when nothing changed."""
        product = at_moment(product, self._clock()) if product.price_changes else product
        known = self._products.get(product.product_id)
        if known is not None and (known.updated_at > product.updated_at or known == product):
            return False
        self._products[product.product_id] = product
        if product.price_changes:
            heappush(self._price_changes, (product.price_changes[0].at, product.product_id))
        brand = product.brand
        code = UNKNOWN if brand is None else self._brand_codes.number(brand)
        number = self._invalidate(product.product_id)
        self._brand_of.put(number, code)
        shelf = shelf_of(product)
        self._shelf_of.put(number, UNKNOWN if shelf is None else self._shelf_codes.number(shelf))
        if known is None:
            digest = purchase_digest(product.product_id)
            self._by_digest[digest] = (*self._by_digest.get(digest, ()), product.product_id)
        self._move(known, product)
        self._count_brands(known, product)
        if known is None or _words(known) != _words(product):
            self.wording += 1
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
        if known is not None:
            self._invalidate(product_id)
        return known is not None

    def change_prices(self) -> list[str]:
        """Makes the price changes that are due by now; the products whose price has changed."""
        now, changed = self._clock(), list[str]()
        while self._price_changes and self._price_changes[0][0] <= now:
            _, product_id = heappop(self._price_changes)
            known = self.get(product_id)
            if known is not None and self.put(known):
                changed.append(product_id)
        return changed

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

    def _invalidate(self, product_id: str) -> int:
        """What was found out about the product no longer counts; its number."""
        number = self.numbers.number(product_id)
        for matches in self._matches.values():
            matches.put(number, NOT_LOOKED_AT)
        self.numbers.record_change(number)
        return number

    def filter(self, where: Where) -> "ProductFilter":
        """What the filters let through, as products are at this moment."""
        everyone = replace(where, exclude=NONE)
        matches = self._matches.get(everyone)
        if matches is None:
            matches = self._matches[everyone] = Column(self.numbers, np.int8, NOT_LOOKED_AT)
        excluded: Mask = np.zeros(len(self.numbers) + 1, np.bool_)
        excluded[self.numbers.find_all(tuple(where.exclude))] = True
        excluded[-1] = False
        return ProductFilter(matches, excluded, lambda number: self._allows(number, everyone))

    def _allows(self, number: int, where: Where) -> bool:
        return self.allows(self.numbers.id(number), where)

    def brand_codes(self, numbers: Ints) -> Ints:
        """(n,) a number for each product's brand, UNKNOWN for none."""
        return self._brand_of.take(numbers)

    def shelf_codes(self, numbers: Ints) -> Ints:
        """(n,) a number for what each product is, UNKNOWN for one that nobody has told."""
        return self._shelf_of.take(numbers)

    def shelf_code(self, shelf: str) -> int:
        """The number of what `shelf_of` tells of products; UNKNOWN where no product is that."""
        return self._shelf_codes.find(shelf)

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


def shelf_of(product: Product) -> str | None:
    """What a product is: its type, else its category; None where the shop tells neither."""
    return product.type or "/".join(product.category) or None


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
