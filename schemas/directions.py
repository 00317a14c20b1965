"""Directions: vectors whose segments have length 1 or 0, as one signed byte a component.

A segment is divided by its greatest component, so that this one becomes ±127. The length need not travel: it
is 1. Against float16 that halves the bytes; the cosine of a segment with itself stays above 0.9999.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.vectors import Layout, Matrix

FORM: Final = "int8"
GREATEST: Final = 127.0


def form(layout: Layout) -> str:
    """What is written beside directions: a reader of another form or layout takes none of them."""
    return f"{FORM}/{layout.id}"


def pack(vectors: Matrix, layout: Layout, least: Matrix) -> list[bytes]:
    """(n, width) vectors of any length as n times `width` bytes.

    A segment within ± `least`, (n, 1), becomes zero: where addends cancel each other out, what is left says
    nothing about a direction.
    """
    greatest = np.maximum.reduceat(np.abs(vectors), layout.starts, axis=-1)
    scale = np.divide(GREATEST, greatest, out=np.zeros_like(greatest), where=greatest > least)
    scaled = vectors * layout.spread(scale)
    np.rint(scaled, out=scaled)
    together, width = scaled.astype(np.int8).tobytes(), layout.width
    return [together[start : start + width] for start in range(0, len(together), width)]


def unpack(packed: Sequence[bytes], layout: Layout) -> Matrix:
    """(n, width) float32, each segment of unit length or zero. Raises ValueError for another width."""
    steps = np.frombuffer(b"".join(packed), dtype=np.int8).reshape(len(packed), layout.width)
    vectors: npt.NDArray[np.float32] = steps.astype(np.float32)
    return layout.normalise(vectors)
