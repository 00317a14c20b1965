"""Products, recipes and stand-in models for the embedder's tests; nothing here needs torch."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from schemas import products
from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.embedder.catalogue import IncomingProduct, Place
from services.embedder.models.port import Pixels
from services.embedder.pictures.decode import decode_picture
from services.embedder.recipe import Recipe

LAYOUT = Layout.of(text_width=6, image_width=4)
MODELS = {"text": "t1", "image": "i1", "caption": "i1"}
RECIPE = Recipe(LAYOUT, MODELS)


def product(product_id: str = "p", **fields: Any) -> Product:
    return Product(
        **{
            "product_id": product_id,
            "name": "Red boot",
            "description": "Waterproof.",
            "brand": "Elvada",
            "category": ("Women", "Shoes", "Boots"),
            "type": "boots",
            "price": 89.5,
            "currency": "EUR",
            "availability": "in_stock",
            "popularity": 0.4,
            "image_url": "pictures/p.png",
            "updated_at": 1_000,
            **fields,
        }
    )


def take_product(offset: int, **fields: Any) -> IncomingProduct:
    made = product(**fields)
    return IncomingProduct(made, products.encode(made), Place(0, offset))


def png(size: tuple[int, int] = (8, 8), mode: str = "RGB", colour: Any = "red", kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def one_hot(number: int, width: int) -> Vector:
    vector = np.zeros(width, dtype=np.float32)
    vector[number % width] = 1
    return vector


class DecoderInProcess:
    """Decodes where it is called: no test that is about something else waits for a process."""

    def decode(self, raw: bytes) -> Image.Image:
        return decode_picture(raw, pixels_max=1_000_000, edge=64)

    def close(self) -> None:
        """Nothing to close."""


class StandInText:
    """A text model whose vector tells the length of the text."""

    identity = "t1"
    width = 6

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vector:
        self.batches.append(list(texts))
        return np.stack([one_hot(len(text), self.width) for text in texts])


class StandInPictures:
    """A picture model whose vector tells whether the first pixel is red."""

    identity = "i1"
    width = 4
    edge = 8

    def prepare(self, picture: Image.Image) -> Pixels:
        return np.asarray(picture, dtype=np.float32).transpose(2, 0, 1)

    def encode_pictures(self, pictures: Sequence[Pixels]) -> Vector:
        return np.stack([one_hot(int(pixels[0, 0, 0] == 255), self.width) for pixels in pictures])

    def encode_captions(self, captions: Sequence[str]) -> Vector:
        return np.stack([one_hot(len(caption), self.width) for caption in captions])
