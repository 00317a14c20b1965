"""Makes the demo's products from a seed; the same seed makes the same bytes."""

import random
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from schemas.products import Product
from storefront.demo.catalogue.assortment import BRANDS, KINDS, NAMES, Kind
from storefront.demo.catalogue.drawing import Look
from storefront.demo.catalogue.palette import COLOURS
from storefront.demo.catalogue.patterns import PATTERNS

VERSION: Final = 1  # raise it when the same seed is to give other products: shoppers are simulated anew then
WORDING: Final = 2  # raise it when the same products are to have other names or pictures
UPDATED_AT: Final = 1_767_225_600_000  # 2026-01-01: fixed, so that loading the catalogue again is no news
SOLD_OUT_SHARE: Final = 0.04


@dataclass(frozen=True, slots=True)
class Made:
    """A product and the look that its picture is drawn from."""

    product: Product
    look: Look


def made(count: int, seed: int) -> Iterator[Made]:
    """`count` products, p0001 and on. Raises ValueError for a count below 1."""
    if count < 1:
        raise ValueError("a catalogue has at least one product")
    rng, taken = random.Random(seed), set[str]()
    ranks = list(range(1, count + 1))
    rng.shuffle(ranks)
    for number, rank in enumerate(ranks, start=1):
        found = _one(f"p{number:04d}", _popularity(rank, count), rng)
        name = _free_name(found.product.name, taken)
        taken.add(name)
        yield Made(replace(found.product, name=name), found.look)


def caption(look: Look) -> str:
    """The look in words, as a person would search for it."""
    pattern = "" if look.pattern == "plain" else f"{look.pattern} "
    return f"{pattern}{look.colour} {look.shape}"


def _free_name(name: str, taken: Set[str]) -> str:
    """The name, or one that no product has yet: the next first word, then two. Without chance."""
    first, _, rest = name.partition(" ")
    at = NAMES.index(first)
    turned = (*NAMES[at:], *NAMES[:at])
    firsts = (*turned, *(f"{one} {other}" for one in turned for other in NAMES if one != other))
    return next(found for each in firsts if (found := f"{each} {rest}") not in taken)


def _popularity(rank: int, count: int) -> float:
    """Zipf's law over ranks, scaled to 0..1: few products are looked at much, most a little."""
    return round((1 / rank**0.6 - 1 / count**0.6) / (1 - 1 / count**0.6) if count > 1 else 1.0, 4)


def _one(product_id: str, popularity: float, rng: random.Random) -> Made:
    kind = rng.choice(KINDS)
    look = Look(kind.name, rng.choice(list(COLOURS)), rng.choice(["plain", *PATTERNS]))
    brand = rng.choice(BRANDS)
    product = Product(
        product_id=product_id,
        name=f"{rng.choice(NAMES)} {caption(look)}",
        description=_description(kind, look, rng),
        brand=brand,
        category=(rng.choice(kind.tops), kind.section, _plural(kind.name)),
        type=kind.name,
        price=_price(kind, brand, rng),
        currency="EUR",
        availability="out_of_stock" if rng.random() < SOLD_OUT_SHARE else "in_stock",
        image_url=f"pictures/{product_id}.webp",
        url=f"/product/{product_id}",
        tags=(look.colour, look.pattern),
        popularity=popularity,
        updated_at=UPDATED_AT,
    )
    return Made(product, look)


def _description(kind: Kind, look: Look, rng: random.Random) -> str:
    material = rng.choice(kind.materials)
    first, second = rng.sample(kind.sentences, 2)
    return f"{caption(look).capitalize()} in {material}. {first} {second}"


def _price(kind: Kind, brand: str, rng: random.Random) -> float:
    """Around the kind's price; a brand is dear or cheap throughout. Ends in .90, as prices do."""
    level = 0.75 + 0.6 * (BRANDS.index(brand) * 7 % len(BRANDS)) / len(BRANDS)
    return round(kind.price * level * rng.uniform(0.85, 1.15)) + 0.90


def _plural(name: str) -> str:
    """The kind's own shelf: "T-shirts", "Watches", "Boots"."""
    if name.endswith(("ss", "ch")):
        return f"{name.capitalize()}es"
    if name.endswith("f"):
        return f"{name[:-1].capitalize()}ves"
    return name.capitalize() if name.endswith("s") else f"{name.capitalize()}s"
