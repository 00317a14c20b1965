"""What a search's words were understood as: parameters that the answer shows and the caller can override."""

from typing import Literal

import msgspec

WeightName = Literal["text", "image", "brand", "popularity", "price", "session"]
OrderName = Literal["cheapest", "dearest", "newest", "best_rated"]


class Inferred(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The parameters of one search. An empty one asks for nothing.

    Soft, they only order: `description` (the words left for text and picture likeness, in the catalogue's
    spelling), `weights` (1: more of it, -1: less of it; only those that the words speak of) and `tags`.

    Hard, they filter: the price bounds (inclusive, in `currency` where one was named), `categories` (path
    prefixes joined by "/"), `brands` and `types`, each "any of"; and everything that starts with `not_`.

    `order` ("the cheapest") puts what fits the words well in that order: by price, by `updated_at`, or by
    popularity, as products have no ratings of their own.

    `price_near` ("around 50") comes with bounds 20 % below and above it; without bounds where an amount was
    named and not understood: it must not hide what is cheaper. `unknown` are words that were to be
    excluded but that the catalogue does not know as tags: nothing is filtered by them. `corrections` are
    typed words and what they were taken for.
    """

    description: str = ""
    weights: dict[WeightName, float] = {}
    price_min: float | None = None
    price_max: float | None = None
    price_near: float | None = None
    currency: str | None = None
    order: OrderName | None = None
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    not_brands: tuple[str, ...] = ()
    not_categories: tuple[str, ...] = ()
    not_types: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    corrections: dict[str, str] = {}
