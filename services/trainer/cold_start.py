"""Vectors for products nobody has clicked: what their neighbours by content have. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.model.item2vec import BLOCK, all_nearest
from services.model.session_index import Floats

NEIGHBOURS: Final = 10


def inferred(vectors: Floats, clicked: npt.NDArray[np.bool_], contents: Floats) -> Floats:
    """(n, width) `vectors` with a row for each product that was not clicked but has content.

    That row is the mean of the ten clicked products nearest by content, (n, c) rows whose dot product is
    their likeness, each weighted by it. Products without content, or unlike all others, keep their zeros.
    """
    described = contents.any(axis=1)
    cold = np.flatnonzero(~clicked & described)
    known = np.flatnonzero(clicked & described)
    filled = vectors.copy()
    if not len(cold) or not len(known):
        return filled
    near = all_nearest(contents[cold], contents[known], min(NEIGHBOURS, len(known)))
    for begin in range(0, len(cold), BLOCK):
        rows = slice(begin, begin + BLOCK)
        neighbours = known[near[rows]]
        likeness = np.einsum("nc,nkc->nk", contents[cold[rows]], contents[neighbours]).clip(min=0)
        total = likeness.sum(axis=1, keepdims=True)
        shares = np.divide(likeness, total, out=np.zeros_like(likeness), where=total > 0)
        filled[cold[rows]] = np.einsum("nk,nkw->nw", shares, vectors[neighbours])
    return filled
