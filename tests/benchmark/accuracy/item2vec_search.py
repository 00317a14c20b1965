"""item2vec by itself: every product is ranked, no other source brings candidates."""

from collections import Counter
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Final

import msgspec
import numpy as np

from services.model.artifact import Artifact
from services.model.behaviour import PRODUCTS
from services.model.item2vec import all_nearest
from services.model.recall import HALF_LIFE
from services.model.session import remembered
from services.model.session_index import Floats
from services.model.tuning import Tuning
from services.model.weights import event_weights
from services.trainer.cases import Case
from services.trainer.evaluation import Answers, K
from services.trainer.progress import Progress

BLOCK: Final = 1024  # cases that are searched at once


def searched(model: Artifact, cases: Sequence[Case], progress: Progress, tuning: Tuning) -> Answers:
    """For each case the products of greatest OUT · the session's decayed IN."""
    progress.stage("searching by item2vec", len(cases))
    products = msgspec.json.decode(model.texts[PRODUCTS], type=list[str])
    number_of = {product: number for number, product in enumerate(products)}
    out = np.asarray(model.arrays["item2vec_out"])
    ranks: list[int] = []
    shown: Counter[str] = Counter()
    started = perf_counter()
    for begin in range(0, len(cases), BLOCK):
        block = cases[begin : begin + BLOCK]
        queries = np.stack(list(_queries(model.arrays["item2vec_in"], number_of, block, tuning)))
        for case, found in zip(block, all_nearest(queries, out, min(K, len(out))).tolist(), strict=True):
            target = number_of.get(case.target, -1)
            ranks.append(found.index(target) + 1 if target in found else 0)
            shown.update([products[number] for number in found])
        progress.advance(len(block))
    return Answers(np.array(ranks, np.int64), shown, perf_counter() - started)


def _queries(
    vectors_in: Floats, number_of: dict[str, int], cases: Sequence[Case], tuning: Tuning
) -> Iterator[Floats]:
    """(width,) a case, weighed as `services.model.recall` weighs; zeros where no product is known."""
    for case in cases:
        events = remembered((), list(case.events), tuning)
        query = np.zeros(vectors_in.shape[1], np.float32)
        for ago, (event, weight) in enumerate(
            zip(reversed(events), reversed(event_weights(events, [0], tuning)), strict=True)
        ):
            number = number_of.get(event.product_id)
            if number is not None and weight > 0:
                query += np.float32(weight * 0.5 ** (ago / HALF_LIFE)) * vectors_in[number]
        yield query
