"""What it brings to weigh events by their types: views, carts and purchases of REES46."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from schemas.models import Metrics
from schemas.sessions import KIND_OF
from services.files import scratch
from services.model.behaviour import Behaviour
from services.model.session import TYPE_WEIGHTS, Tuning
from services.progress import Progress
from services.trainer.evaluation import Answers, answers, metrics
from services.trainer.sessions import Histories
from services.trainer.training import fit
from tests.benchmark.accuracy import rees46
from tests.benchmark.accuracy.differences import compare_pairs
from tests.benchmark.accuracy.figures import TypesFigures
from tests.benchmark.accuracy.models import store
from tests.benchmark.accuracy.rees46 import Held
from tests.benchmark.machine import this_machine

ALIKE = Tuning(type_weights=dict.fromkeys(TYPE_WEIGHTS, 1.0))
VIEW = KIND_OF["view_item"]


def measure(histories: Histories, work: Path, progress: Progress) -> TypesFigures:
    """Learns twice, with and without the weights, and asks the newest fifth of the sessions."""
    machine = this_machine()
    training, newest = rees46.split(histories)
    held = rees46.cases(newest, frozenset(training.products))
    weighed, weighed_told = _ask(training, held, Tuning(), work, progress)
    alike, alike_told = _ask(training, held, ALIKE, work, progress)
    apart = np.array([any(kind != VIEW for kind in case.kinds) for case in held.cases], np.bool_)
    hits = weighed.ranks > 0, alike.ranks > 0
    return TypesFigures(
        machine=machine,
        sessions=histories.sessions,
        products=len(training.products),
        cases=len(held.cases),
        told_apart=int(apart.sum()),
        weighed=weighed_told,
        alike=alike_told,
        hit_rate=compare_pairs(*hits, held.sessions),
        hit_rate_told_apart=compare_pairs(hits[0][apart], hits[1][apart], held.sessions[apart]),
    )


def _ask(
    training: Histories, held: Held, tuning: Tuning, work: Path, progress: Progress
) -> tuple[Answers, Metrics]:
    with scratch(work) as folder:
        trained = fit(training, replace(rees46.PARAMETERS, tuning=tuning), progress)
        model = Behaviour.of(store(trained, folder / "model"))
        given = answers(model, held.cases, progress, tuning)
        return given, metrics(model, given)
