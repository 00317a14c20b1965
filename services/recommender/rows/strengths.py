"""How strongly visits speak for products beside one product: what a model knows, brought to 0..1. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from schemas.sessions import KIND_OF, SessionEvent
from services.model.behaviour import Behaviour
from services.model.recommending import ranked
from services.model.session_index import Floats
from services.model.tuning import Tuning


@dataclass(frozen=True, slots=True)
class Strengths:
    """Products, how strongly visits speak for each, (n,) in 0..1, and those that visits really hold."""

    product_ids: tuple[str, ...]
    values: Floats
    witnessed: frozenset[str]


def beside(
    model: Behaviour | None, product_id: str, others: Sequence[str], tuning: Tuning
) -> Strengths | None:
    """What visits that hold a product say about those around it, and about the `others`; None for nothing."""
    if model is None or not model.has_witnesses(product_id):
        return None
    view = SessionEvent(0, b"", product_id, KIND_OF["view_item"])
    told = ranked(model, [view], tuning, others=others)
    witnessed = frozenset(compress(told.product_ids, told.witnessed))
    return Strengths(told.product_ids, scaled(told.scores), witnessed) if witnessed else None


def scaled(scores: Floats) -> Floats:
    """(n,) from 0 for the lowest to 1 for the highest: scores of one call are comparable, no others are."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    found: Floats = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return found
