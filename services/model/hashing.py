"""Words as vectors without a model: hashed signs, so that equal words meet and others hardly do."""

from functools import lru_cache
from hashlib import blake2b
from math import sqrt
from typing import Final

import numpy as np

from schemas.points import category_prefixes
from schemas.vectors import Vector

REMEMBERED: Final = 4096  # brands, types and categories come again and again


@lru_cache(REMEMBERED)
def signs(word: str, width: int) -> Vector:
    """(width,) of ±1/√width, always the same for a word in any case; `width` is a multiple of 8, up to 512.

    Two different words have a cosine of 0 ± 1/√width: the signs of feature hashing (Weinberger et al. 2009),
    dense, so that no two words share all their components.
    """
    digest = blake2b(word.casefold().strip().encode(), digest_size=width // 8).digest()
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).astype(np.float32)
    result: Vector = (2 * bits - 1) / np.float32(sqrt(width))
    result.flags.writeable = False
    return result


@lru_cache(REMEMBERED)
def category_vector(path: tuple[str, ...], width: int) -> Vector:
    """(width,) of unit length: the signs of every prefix of the path, the d-th with √d.

    Of three levels, sharing the first gives a cosine of about 1/6, the first two 1/2, all of them 1.
    """
    prefixes = category_prefixes(path)
    total: Vector = np.zeros(width, dtype=np.float32)
    for depth, prefix in enumerate(prefixes, start=1):
        total += np.float32(sqrt(depth)) * signs(prefix, width)
    length = float(np.linalg.norm(total))
    return total / np.float32(length) if length > 0 else total
