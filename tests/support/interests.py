"""A catalogue whose vectors tell brand, colour and price, for what puts interests into words."""

from zlib import crc32

import numpy as np

from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.model.content import category_vector, point, price_point, signs
from services.ops.inspect.product.vectors import VectorTable

LAYOUT = Layout.of(16, 16)


SHOES, BOOTS, LAMPS = ("Women", "Shoes", "Sneakers"), ("Women", "Shoes", "Boots"), ("Home", "Lamps")


BRANDS = ("Ilse", "Norwell", "Tarn", "Okapi")


COLOURS = ("red", "blue", "green", "black")


def product(number: int, category: tuple[str, ...]) -> Product:
    """Brand, colour and price go by the number."""
    return Product(
        product_id=f"{category[-1].lower()}-{number}",
        name=f"{category[-1]} {number}",
        price=20.0 + 10 * number,
        currency="EUR",
        availability="in_stock",
        updated_at=1,
        category=category,
        brand=BRANDS[number % 4],
        type=category[-1].lower(),
        tags=(COLOURS[number // 4 % 4],),
    )


CATALOGUE = [product(number, category) for category in (SHOES, BOOTS, LAMPS) for number in range(32)]


def content(each: Product) -> Vector:
    """As the embedder makes it; text and picture are of the colour alone, with a little noise."""
    rng = np.random.default_rng(crc32(each.product_id.encode()))
    colour: Vector = signs(each.tags[0], 16) + 0.05 * rng.normal(size=16).astype(np.float32)
    parts: list[Vector] = [
        colour,
        colour,
        np.zeros(16, dtype=np.float32),
        category_vector(each.category, 64),
        signs(each.brand or "", 32),
        signs(each.type or "", 32),
        price_point(each.price),
        point(0.5),
    ]
    return LAYOUT.normalise(np.concatenate(parts))


def embed_products() -> VectorTable:
    made = VectorTable(LAYOUT)
    for each in CATALOGUE:
        made.products[each.product_id] = each
        made.vectors.put(each, content(each).astype(np.float16))
    return made


EMBEDDED = embed_products()
