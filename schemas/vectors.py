"""The layout of a product's content vector, and the ProductVectors message on `product-vectors`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.products import Product
from schemas.unreadable import read

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)

LAYOUT_VERSION: Final = 1
CATEGORY_WIDTH: Final = 64
BRAND_WIDTH: Final = 32
TYPE_WIDTH: Final = 32
NUMBER_WIDTH: Final = 2  # a point on a half circle


class LayoutMismatch(ValueError):
    """Vectors of one layout met code or an index of another."""

    def __init__(self, found: str, expected: str, where: str) -> None:
        super().__init__(
            f"{where} holds vectors of layout {found}, but the settings make {expected}. "
            "Set EDDY_TEXT_WIDTH and EDDY_IMAGE_WIDTH to the models that wrote them, "
            "or re-embed the catalogue under another EDDY_TOPIC_PREFIX."
        )


@dataclass(frozen=True)
class Layout:
    """Segment names and widths of the content vector, in order; each segment has length 1 or 0."""

    widths: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, text_width: int, image_width: int) -> Self:
        """The layout for a text model and a picture model of these output widths."""
        return cls(
            (
                ("text", text_width),
                ("image", image_width),
                ("caption", image_width),
                ("category", CATEGORY_WIDTH),
                ("brand", BRAND_WIDTH),
                ("type", TYPE_WIDTH),
                ("price", NUMBER_WIDTH),
                ("popularity", NUMBER_WIDTH),
            )
        )

    @cached_property
    def id(self) -> str:
        """What is written beside every vector, such as `v1/text:384/image:64/…`."""
        return "/".join([f"v{LAYOUT_VERSION}", *(f"{name}:{width}" for name, width in self.widths)])

    @cached_property
    def width(self) -> int:
        """Components of the whole vector."""
        return sum(width for _, width in self.widths)

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where each segment lies in the vector."""
        slices, start = {}, 0
        for name, width in self.widths:
            slices[name] = slice(start, start + width)
            start += width
        return slices

    @cached_property
    def starts(self) -> npt.NDArray[np.intp]:
        """Index of each segment's first component, for `numpy.add.reduceat`."""
        return np.array([span.start for span in self.slices.values()], dtype=np.intp)

    def spread(self, per_segment: npt.NDArray[Real]) -> npt.NDArray[Real]:
        """(…, width) from (…, segments): each component gets what its segment has."""
        result: npt.NDArray[Real] = np.repeat(per_segment, self._lengths, axis=-1)
        return result

    @cached_property
    def _lengths(self) -> npt.NDArray[np.intp]:
        return np.array([width for _, width in self.widths], dtype=np.intp)

    def normalise(self, vector: npt.NDArray[Real]) -> npt.NDArray[Real]:
        """(…, width) vectors with each segment scaled to unit length; a segment of zeros stays zero."""
        lengths = np.sqrt(np.add.reduceat(vector * vector, self.starts, axis=-1))
        scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 1e-9)
        result: npt.NDArray[Real] = vector * self.spread(scale)
        return result

    def apply_weights(self, vectors: Matrix, weights: Mapping[str, float]) -> Matrix:
        """(…, width) queries: each segment times its weight (0 where unnamed).

        One dot product of a query with a product is Σ weight · cosine.
        """
        per_segment = np.array([weights.get(name, 0.0) for name, _ in self.widths], dtype=np.float32)
        result: Matrix = vectors * self.spread(per_segment)
        return result

    def require(self, found: str, where: str) -> None:
        """Raises LayoutMismatch when `found` is another layout than this."""
        if found != self.id:
            raise LayoutMismatch(found, self.id, where)


class ProductVectors(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A product with its vectors; the source of truth for every index.

    `content` holds `Layout.width` float16, little-endian. `hashes` tells, by segment, what the segment was
    made from, so that a changed product re-embeds only what changed. The product rides along because of two
    messages about one product the one with the newest `updated_at` counts, whichever was written last.
    `picture_tries`: how often the picture's host was away; it is tried again. 0 where nothing is to be tried.
    """

    product: Product
    layout: str
    content: bytes
    hashes: dict[str, str]
    models: dict[str, str]
    behaviour: bytes | None = None
    picture_tries: int = 0


_decoder = msgspec.msgpack.Decoder(ProductVectors)
_encoder = msgspec.msgpack.Encoder()


def decode(raw: bytes) -> ProductVectors:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(vectors: ProductVectors) -> bytes:
    """The bytes of one message on `product-vectors`."""
    return _encoder.encode(vectors)


def pack(vector: npt.NDArray[np.floating]) -> bytes:
    """A vector as little-endian float16, the form in which it travels."""
    return vector.astype("<f2").tobytes()


def unpack(raw: bytes) -> Vector:
    """A travelled vector as float32, ready for arithmetic."""
    return np.frombuffer(raw, dtype="<f2").astype(np.float32)
