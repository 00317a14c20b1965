"""How like a session products are by content: Σ weight · cosine over the segments. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from schemas import directions
from schemas.sessions import Session
from schemas.vectors import Layout, Matrix, Vector
from services.model.profiles import FOR_YOU
from services.model.session_index import Floats


class Contents(Protocol):
    """The products' content vectors; `services.replica.VectorReplica` has them."""

    def units(self, product_ids: Sequence[str]) -> Matrix:
        """(n, width) float32, each segment of length 1, or 0 where a product lacks it."""


def query(packed: bytes, layout: Layout, weights: Mapping[str, float] = FOR_YOU) -> Vector:
    """A session's packed vector as (width,) weights of components: a dot product with it is the likeness."""
    vector: Vector = layout.weighted(directions.unpack([packed], layout)[0], weights)
    return vector


def of(session: Session, contents: Contents, layout: Layout) -> Callable[[Sequence[str]], Floats] | None:
    """The likeness (n,) of n products with this session; None where the session has no vector."""
    if not session.vector:
        return None
    asked = query(session.vector, layout)

    def likeness(product_ids: Sequence[str]) -> Floats:
        found: Floats = contents.units(product_ids) @ asked
        return found

    return likeness
