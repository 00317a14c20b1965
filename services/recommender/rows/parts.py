"""The parts of a score by content: weight · cosine, segment by segment. Pure."""

import numpy as np

from schemas.vectors import Layout, Vector


def parts_of(query: Vector, vector: Vector | None, layout: Layout) -> dict[str, float]:
    """What each segment adds to the dot product; segments that add nothing are left out."""
    if vector is None:
        return {}
    sums = np.add.reduceat(query * vector, layout.starts).tolist()
    found = {name: round(part, 4) for (name, _), part in zip(layout.widths, sums, strict=True)}
    return {name: part for name, part in found.items() if part}
