"""What each segment of a product's vector is made from, and a hash that names it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

from schemas.products import Product
from schemas.vectors import Layout, ProductVectors, Vector, pack
from services.model.content import category_vector, point, price_point, signs

RECIPE_VERSION: Final = 1  # raise it when the same source is to give another vector
BYTES_EACH: Final = 2  # float16
MODEL_SEGMENTS: Final = ("text", "image", "caption")  # the others need no model


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as it travels: what it was made from, its float16 bytes, the model that made it."""

    hash: str
    content: bytes
    model: str | None = None


Segments = Mapping[str, Segment]


@dataclass(frozen=True)
class Recipe:
    """How vectors are made: the layout, and the identity of the model behind each model segment."""

    layout: Layout
    models: Mapping[str, str]

    def hashes(self, product: Product) -> dict[str, str]:
        """A hash for each segment that the product has. A picture is named by its URL, not by its bytes."""
        return {name: self._hash(name, source) for name, source in sources(product).items()}

    def _hash(self, segment: str, source: str) -> str:
        named = "\0".join([str(RECIPE_VERSION), segment, self.models.get(segment, ""), source])
        return blake2b(named.encode(), digest_size=8).hexdigest()

    def segment(self, name: str, wanted: str, vector: Vector) -> Segment:
        """A segment that a model has just made; `wanted` is its hash."""
        return Segment(wanted, pack(vector), self.models.get(name))

    def without_model(
        self, product: Product, wanted: Mapping[str, str], kept: Segments
    ) -> dict[str, Segment]:
        """The segments that need no model; those of `kept` that have the wanted hash are taken from it."""
        made = {}
        for name, source_hash in wanted.items():
            if name in MODEL_SEGMENTS:
                continue
            there = kept.get(name)
            if there is None or there.hash != source_hash:
                there = Segment(source_hash, pack(self._cheap(name, product)))
            made[name] = there
        return made

    def _cheap(self, name: str, product: Product) -> Vector:
        width = self._width_of[name]
        if name == "category":
            return category_vector(product.category, width)
        if name == "price":
            return price_point(product.price)
        if name == "popularity":
            return point(product.popularity or 0.0)
        return signs(sources(product)[name], width)

    def assemble(self, product: Product, segments: Segments, picture_tries: int = 0) -> ProductVectors:
        """The message on `product-vectors`; a segment that is not given stays zero and has no hash."""
        parts = [
            segments[name].content if name in segments else bytes(BYTES_EACH * width)
            for name, width in self.layout.widths
        ]
        present = {name: segments[name] for name, _ in self.layout.widths if name in segments}
        return ProductVectors(
            product=product,
            layout=self.layout.id,
            content=b"".join(parts),
            hashes={name: segment.hash for name, segment in present.items()},
            models={name: segment.model for name, segment in present.items() if segment.model},
            picture_tries=picture_tries,
        )

    def split(self, vectors: ProductVectors) -> dict[str, Segment]:
        """The segments of a message: the other way round."""
        return {
            name: Segment(
                vectors.hashes[name],
                vectors.content[span.start * BYTES_EACH : span.stop * BYTES_EACH],
                vectors.models.get(name),
            )
            for name, span in self.layout.slices.items()
            if name in vectors.hashes
        }

    @cached_property
    def _width_of(self) -> dict[str, int]:
        return dict(self.layout.widths)


def sources(product: Product) -> dict[str, str]:
    """By segment, what it is made from; segments that the product lacks are left out."""
    found = {
        "text": text_of(product),
        "image": product.image_url or "",
        "caption": product.name,
        "category": "\0".join(product.category),
        "brand": product.brand or "",
        "type": product.type or "",
        "price": repr(product.price),
        "popularity": "" if product.popularity is None else repr(product.popularity),
    }
    return {name: source for name, source in found.items() if source}


def text_of(product: Product) -> str:
    """What the text model reads: name, description and brand."""
    return "\n".join(part for part in (product.name, product.description, product.brand) if part)
