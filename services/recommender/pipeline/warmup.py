"""Compiles what makes rows, ahead of the first shopper: `python -m services.recommender.pipeline.warmup`.

numba keeps the result beside the sources (`__pycache__`): some 30 s once, under a second from then on.
"""

import numpy as np

from schemas.products import Product
from schemas.vectors import Layout
from services.model import warmup
from services.recommender.pipeline.candidate_list import CandidateList, distinct, dot_products
from services.recommender.pipeline.diversity import CandidateTraits, RowLimits, interleave
from services.vector_replica import VectorReplica


def warm() -> None:
    """Lets a made-up model answer once, and a row be put together. Blocks, and holds Python's lock."""
    warmup.warm()
    layout = Layout.of(text_width=8, image_width=8)
    replica = VectorReplica(layout)
    replica.put(
        Product(product_id="a", name="", price=0, currency="EUR", availability="in_stock", updated_at=0),
        np.ones(layout.width, np.float16),
    )
    numbers = distinct(np.zeros(2, np.int32), 1)
    scores = dot_products(replica, numbers, np.ones(layout.width, np.float32))
    rows, places = replica.rows_of(numbers)
    traits = CandidateTraits(np.zeros(1, np.int32), rows, places, 1.0)
    interleave([CandidateList(numbers, scores)], [1.0], traits, RowLimits(1, 0.2, 1))


if __name__ == "__main__":
    warm()
