"""item2vec by itself: every product is ranked, no other source brings candidates."""

from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Final

import numpy as np

from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.candidates import HALF_LIFE
from services.model.item2vec import all_nearest
from services.model.session import Tuning
from services.model.session_index import Floats
from services.progress import Progress
from services.trainer.cases import Case
from services.trainer.evaluation import Answers, K

BLOCK: Final = 1024  # cases that are searched at once


def search(model: Artifact, cases: Sequence[Case], progress: Progress, tuning: Tuning) -> Answers:
    """For each case the products of greatest OUT · the session's decayed IN."""
    progress.stage("searching by item2vec", len(cases))
    behaviour = Behaviour.of(model)
    out = np.asarray(model.arrays["item2vec_out"])
    ranks: list[int] = []
    shown: Counter[str] = Counter()
    started = perf_counter()
    for begin in range(0, len(cases), BLOCK):
        block = cases[begin : begin + BLOCK]
        queries = np.stack([_query(behaviour, model.arrays["item2vec_in"], case, tuning) for case in block])
        for case, found in zip(block, all_nearest(queries, out, min(K, len(out))).tolist(), strict=True):
            row = [behaviour.products[number] for number in found]
            ranks.append(row.index(case.target) + 1 if case.target in row else 0)
            shown.update(row)
        progress.advance(len(block))
    return Answers(np.array(ranks, np.int64), shown, perf_counter() - started)


def _query(model: Behaviour, vectors_in: Floats, case: Case, tuning: Tuning) -> Floats:
    """(width,) weighed as `services.model.candidates` weighs; zeros where no product is known."""
    query = np.zeros(vectors_in.shape[1], np.float32)
    items, weights = model.context(case.remember(tuning), tuning)
    for ago, (number, weight) in enumerate(zip(reversed(items), reversed(weights), strict=True)):
        if number >= 0 and weight > 0:
            query += np.float32(weight * 0.5 ** (ago / HALF_LIFE)) * vectors_in[number]
    return query
