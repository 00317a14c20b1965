"""Products nobody clicked: are they found, and what do the others pay for it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from services.files import scratch
from services.model.behaviour import Behaviour
from services.model.session import Tuning
from services.progress import Progress
from services.trainer.content import Contents
from services.trainer.evaluation import K, answers
from services.trainer.sessions import Histories
from services.trainer.training import fit
from tests.benchmark.accuracy import rees46
from tests.benchmark.accuracy.differences import Hits, compare_pairs
from tests.benchmark.accuracy.figures import ColdFigures
from tests.benchmark.accuracy.models import store
from tests.benchmark.accuracy.rees46 import Held
from tests.benchmark.machine import this_machine

FOLDS: Final = 5  # each product is hidden once
SEED: Final = 7
TUNING: Final = Tuning()


@dataclass(frozen=True, slots=True)
class Fold:
    """Hits of one fifth: (n,) a case, in the order content, model, without contents; and their sessions."""

    cold: tuple[Hits, Hits, Hits]
    cold_sessions: npt.NDArray[np.int64]
    warm: tuple[Hits, Hits]
    warm_sessions: npt.NDArray[np.int64]


def measure(histories: Histories, contents: Contents, work: Path, progress: Progress) -> ColdFigures:
    """Hides a random fifth of the products after the other; learns with and without contents each time."""
    machine = this_machine()
    training, newest = rees46.split(histories)
    order = np.random.default_rng(SEED).permutation(histories.products)
    fifths = [frozenset(order[number::FOLDS].tolist()) for number in range(FOLDS)]
    folds = [_fold((training, newest), fifth, contents, work, progress) for fifth in fifths]

    cold_sessions = np.concatenate([fold.cold_sessions for fold in folds])
    warm_sessions = np.concatenate([fold.warm_sessions for fold in folds])
    content, model, without = _pool([fold.cold for fold in folds])
    warm, warm_without = _pool([fold.warm for fold in folds])
    return ColdFigures(
        machine=machine,
        products=len(histories.products),
        folds=FOLDS,
        cold_cases=len(model),
        warm_cases=len(warm),
        cold_content=_share(content),
        cold_model=_share(model),
        cold_without=_share(without),
        warm_model=_share(warm),
        warm_without=_share(warm_without),
        cold_gain=compare_pairs(model, content, cold_sessions),
        warm_price=compare_pairs(warm, warm_without, warm_sessions),
    )


def _pool(folds: Sequence[tuple[Hits, ...]]) -> list[Hits]:
    return [np.concatenate(hits) for hits in zip(*folds, strict=True)]


def _share(hits: Hits) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def _fold(
    histories: tuple[Histories, Histories],
    hidden: frozenset[str],
    contents: Contents,
    work: Path,
    progress: Progress,
) -> Fold:
    training, newest = histories
    seen = rees46.hide(training, hidden)
    cold = rees46.cases(newest, hidden, without=hidden)
    warm = rees46.cases(newest, frozenset(seen.products), without=hidden)
    model = _hits(seen, contents, (cold, warm), work, progress)
    without = _hits(seen, None, (cold, warm), work, progress)
    return Fold(
        (by_content(cold, contents), model[0], without[0]),
        cold.sessions,
        (model[1], without[1]),
        warm.sessions,
    )


def _hits(
    training: Histories, contents: Contents | None, asked: Sequence[Held], work: Path, progress: Progress
) -> list[Hits]:
    with scratch(work) as folder:
        trained = fit(training, rees46.PARAMETERS, progress, contents)
        model = Behaviour.of(store(trained, folder / "model"))
        return [answers(model, held.cases, progress, TUNING, contents).ranks > 0 for held in asked]


def by_content(held: Held, contents: Contents) -> Hits:
    """Whether the target is among the 20 products whose content is most like the session's."""
    found = (contents.query(case.remember(TUNING), TUNING)[0] for case in held.cases)
    return np.array(
        [case.target in nearest[:K] for case, nearest in zip(held.cases, found, strict=True)], np.bool_
    )
