"""How like a session products are by content: Σ weight · cosine over the segments. Pure."""

from collections.abc import Callable, Sequence
from typing import Protocol

from schemas import directions
from schemas.sessions import Session
from schemas.vectors import Layout, Matrix
from services.model.profiles import FOR_YOU, Weights
from services.model.session_index import Floats


class Contents(Protocol):
    """The products' content vectors; `services.replica.VectorReplica` has them."""

    def units(self, product_ids: Sequence[str]) -> Matrix:
        """(n, width) float32, each segment of length 1, or 0 where a product lacks it."""


def queries(packed: Sequence[bytes], layout: Layout, weights: Weights = FOR_YOU) -> Matrix:
    """A session's packed vectors as (n, width) queries: a dot product with one is the likeness to it."""
    return layout.weighted(directions.unpack(packed, layout), weights)


def of(session: Session, contents: Contents, layout: Layout) -> Callable[[Sequence[str]], Floats] | None:
    """The likeness (n,) of n products with this session; None where the session has no vector."""
    if not session.vector:
        return None
    [asked] = queries([session.vector], layout)

    def likeness(product_ids: Sequence[str]) -> Floats:
        found: Floats = contents.units(product_ids) @ asked
        return found

    return likeness
