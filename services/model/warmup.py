"""Compiles what serves models, ahead of the first shopper.

numba keeps the result beside the sources (`__pycache__`): some 25 s once, under a second from then on.
"""

from typing import Final

import numpy as np

from schemas.sessions import KIND_OF, SessionEvent
from services.model.behaviour import Behaviour
from services.model.candidates import FEATURES
from services.model.forest import Trees, score_trees
from services.model.item2vec import build_item2vec
from services.model.ranker import rank_products
from services.model.session import Tuning
from services.model.session_index import build_index

PRODUCTS: Final = ("a", "b", "c")


def warm() -> None:
    """Lets a made-up model answer once. Blocks, and holds Python's lock while it compiles."""
    views = [SessionEvent(time, b"", name, KIND_OF["view_item"]) for time, name in enumerate(PRODUCTS[:2])]
    trees = _one_leaf()
    model = _build_toy_model(trees)
    rank_products(model, views, Tuning(), others=PRODUCTS)
    model.count_beside(0)
    model.count_visits(PRODUCTS[:1], PRODUCTS)
    model.count_groups(np.zeros(len(PRODUCTS), np.int32), 1)
    score_trees(
        trees, np.zeros((1, len(FEATURES)), dtype=np.float32)
    )  # for trees of more leaves than masks take


def _build_toy_model(trees: Trees) -> Behaviour:
    """Three products and two past sessions."""
    items, starts = np.array([0, 1, 1, 2], dtype=np.int32), np.array([0, 2, 4])
    vectors = np.eye(len(PRODUCTS), dtype=np.float32)
    index = build_index(items, starts, len(PRODUCTS), newest=10)
    return Behaviour("made up", PRODUCTS, index, build_item2vec(vectors, vectors, k=2), trees)


def _one_leaf() -> Trees:
    zero, leaf = np.zeros(1, dtype=np.int32), np.full(1, -1, dtype=np.int32)
    nodes = {"roots": zero, "feature": leaf, "value": np.zeros(1, np.float32), "left": zero, "right": zero}
    return Trees.of({f"trees_{name}": array for name, array in nodes.items()})
