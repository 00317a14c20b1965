"""What the shop sells: its products, its shelves, and what of it is sold out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from schemas import products
from schemas.products import Availability, Product

Category = tuple[str, ...]  # a path, top first

DEPTH: Final = 3


class CatalogueMissing(Exception):
    """There is no readable catalogue in the folder; the text says what to run."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A category with the address of its page, the shelves below it, and what lies on it."""

    category: Category
    slug: str
    below: tuple["Shelf", ...]
    product_ids: tuple[str, ...]  # the most popular first

    @property
    def name(self) -> str:
        """The last step of its path."""
        return self.category[-1]


class Stock:
    """The shop's own data, in memory. Changes last until the shop is started again."""

    def __init__(self, everything: Iterable[Product]) -> None:
        ranked = sorted(everything, key=lambda product: (-(product.popularity or 0.0), product.product_id))
        self._products = {product.product_id: product for product in ranked}
        self.tops = _shelves(ranked, ())
        self._by_slug = {shelf.slug: shelf for shelf in _all(self.tops)}
        self._by_category = {shelf.category: shelf for shelf in self._by_slug.values()}

    def __len__(self) -> int:
        return len(self._products)

    def get(self, product_id: str) -> Product | None:
        """A product as the shop has it now."""
        return self._products.get(product_id)

    def shelf(self, slug: str) -> Shelf | None:
        """The shelf of a page's address, `women/shoes`."""
        return self._by_slug.get(slug.strip("/").lower())

    def shelf_of(self, category: Category) -> Shelf:
        """The shelf of a category that some product has. Raises KeyError."""
        return self._by_category[category[:DEPTH]]

    def on(self, shelf: Shelf) -> list[Product]:
        """The products on a shelf, the most popular first."""
        return [self._products[product_id] for product_id in shelf.product_ids]

    def popular(self, count: int) -> list[Product]:
        """What many look at, and can be had; no kind twice."""
        found: dict[str | None, Product] = {}
        for product in self._products.values():
            if product.availability == "in_stock":
                found.setdefault(product.type, product)
        return list(found.values())[:count]

    def beside(self, product: Product, count: int) -> list[Product]:
        """Others of its kind, for pages that nothing keeps fresh."""
        found = [
            other
            for other in self.on(self.shelf_of(product.category))
            if other.product_id != product.product_id and other.availability == "in_stock"
        ]
        return found[:count]

    def search(self, query: str) -> list[Product]:
        """Products that have every word of the query somewhere; those that have it in their name first."""
        words = query.lower().split()
        hits = [product for product in self._products.values() if _has_all(words, _described(product))]
        return sorted(hits, key=lambda product: not _has_all(words, product.name.lower())) if words else []

    def change(self, product: Product) -> None:
        """Takes a product's new description; its category is the one it had."""
        self._products[product.product_id] = product


def load(folder: Path) -> Stock:
    """The stock of a catalogue's folder. Raises CatalogueMissing."""
    feed = folder / "products.jsonl"
    try:
        with feed.open("rb") as lines:
            everything = [products.decode(line) for line in lines if line.strip()]
    except OSError as error:
        raise CatalogueMissing(f"{feed}: {error.strerror}. {_how_to_make(folder)}") from None
    except msgspec.MsgspecError as error:
        raise CatalogueMissing(f"{feed} is no catalogue: {error}. {_how_to_make(folder)}") from None
    if not everything:
        raise CatalogueMissing(f"{feed} is empty. {_how_to_make(folder)}")
    return Stock(everything)


def changed(
    product: Product, now: int, *, availability: Availability | None = None, price: float | None = None
) -> Product:
    """The product sold out or back, or at another price; None leaves what is.

    `now` is Unix ms, and the new description is newer in any case.
    """
    return msgspec.structs.replace(
        product,
        availability=availability or product.availability,
        price=product.price if price is None else price,
        updated_at=max(now, product.updated_at + 1),
    )


def _how_to_make(folder: Path) -> str:
    return f"Run `python -m storefront.demo.catalogue --out {folder}`, or set EDDY_CATALOGUE_DIR."


def _described(product: Product) -> str:
    texts = (product.name, product.brand or "", product.type or "", *product.category, *product.tags)
    return " ".join(texts).lower()


def _has_all(words: Sequence[str], text: str) -> bool:
    return all(word in text for word in words)


def _shelves(ranked: Sequence[Product], above: Category) -> tuple[Shelf, ...]:
    depth = len(above)
    if depth == DEPTH:
        return ()
    here: dict[str, list[Product]] = {}
    for product in ranked:
        if len(product.category) > depth and product.category[:depth] == above:
            here.setdefault(product.category[depth], []).append(product)
    return tuple(
        Shelf(
            category=(*above, name),
            slug="/".join(map(_slug, (*above, name))),
            below=_shelves(found, (*above, name)),
            product_ids=tuple(product.product_id for product in found),
        )
        for name, found in sorted(here.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _all(shelves: Iterable[Shelf]) -> Iterable[Shelf]:
    for shelf in shelves:
        yield shelf
        yield from _all(shelf.below)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "other"
