"""From a session to products in order of how likely they come next: what serves, what is measured. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.objectives import CLICK, Objective
from schemas.sessions import SessionEvent
from services.model.behaviour import Behaviour, Candidates
from services.model.candidates import CONTENT, KNN_SESSIONS, REACHED_BY
from services.model.session import Tuning
from services.model.session_index import Floats

# Σ weight · cosine of the content vectors of these products with the session's, (n,).
Likeness = Callable[[Sequence[str]], Floats]

Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

NOTHING: Final = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Products by id, the likeliest first, their scores (n,), and whether past sessions speak for them."""

    product_ids: tuple[str, ...]
    scores: Floats
    witnessed: tuple[bool, ...]


def rank_products(
    model: Behaviour,
    events: Sequence[SessionEvent],
    tuning: Tuning,
    *,
    others: Sequence[str] = (),
    likeness: Likeness | None = None,
    objective: Objective = CLICK,
) -> Ranking:
    """The model's candidates for these events together with the `others`, in order."""
    found = collect_features(model, events, tuning, others=others, likeness=likeness)
    if not found.product_ids:
        return Ranking((), NOTHING, ())
    order, scores, witnessed = rank_features(model, found.features, objective)
    return Ranking(
        tuple([found.product_ids[place] for place in order.tolist()]), scores, tuple(witnessed.tolist())
    )


def rank_features(
    model: Behaviour, features: Floats, objective: Objective = CLICK
) -> tuple[Places, Floats, Mask]:
    """Of candidates with these (n, FEATURES): (n,) places, the likeliest first; their scores; whether
    past sessions speak for them."""
    scores = model.scores(features, objective)
    order = np.argsort(-scores, kind="stable")
    witnessed = (features[:, KNN_SESSIONS] + features[:, REACHED_BY]) > 0
    return order, scores[order], witnessed[order]


def collect_features(
    model: Behaviour,
    events: Sequence[SessionEvent],
    tuning: Tuning,
    *,
    others: Sequence[str] = (),
    likeness: Likeness | None = None,
) -> Candidates:
    """The same, not in order yet: what the re-ranker is told, here and when it learns."""
    found = model.candidates(events, tuning, others)
    if likeness is not None and found.product_ids:
        found.features[:, CONTENT] = likeness(found.product_ids)
    return found
