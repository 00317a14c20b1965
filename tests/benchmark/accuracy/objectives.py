"""What it brings to order for carts or purchases: REES46, and the demo's simulated shoppers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.objectives import CLICK, ObjectiveName
from services.files import scratch
from services.model.behaviour import Behaviour
from services.model.session import Tuning
from services.progress import Progress
from services.trainer.cases import OUTCOMES, Case, outcome_cases
from services.trainer.evaluation import accuracy, answers
from services.trainer.lambdarank import LambdaRank
from services.trainer.sessions import Histories
from services.trainer.skipgram import SkipGram
from services.trainer.training import Parameters, fit
from storefront.demo.catalogue.generator import made
from storefront.demo.shoppers.learning import histories
from storefront.demo.shoppers.visits import simulated
from tests.benchmark.accuracy import rees46
from tests.benchmark.accuracy.differences import compare_pairs
from tests.benchmark.accuracy.figures import ObjectiveFigures, ObjectivesFigures
from tests.benchmark.accuracy.models import store
from tests.benchmark.machine import this_machine

PRODUCTS, VISITS, SEED = 600, 6_000, 11  # of the simulated shop
CASES_MAX: Final = 2_000
# Enough newer sessions that some of them end in a purchase; and a small model: only orders are compared.
PARAMETERS: Final = Parameters(
    item2vec=SkipGram(width=40, epochs=10), lambdarank=LambdaRank(rounds=80), rank_share=0.4, threads=1
)


@dataclass(frozen=True, slots=True)
class Held:
    """Cases (n,), and the number of the session that each is from."""

    cases: list[Case]
    sessions: npt.NDArray[np.int64]


def measure(path: Path, work: Path, progress: Progress) -> ObjectivesFigures:
    """Learns from the older sessions of both, and asks what comes of the newest."""
    machine = this_machine()
    products = [each.product for each in made(PRODUCTS, SEED)]
    shops = {
        "REES46": rees46.read(path),
        "simulated shoppers": histories(simulated(products, VISITS, SEED)),
    }
    found = {name: dict(_measure(shop, work, progress)) for name, shop in shops.items()}
    return ObjectivesFigures(machine=machine, shops=found)


def _measure(shop: Histories, work: Path, progress: Progress) -> Iterator[tuple[str, ObjectiveFigures]]:
    training, newest = rees46.split(shop)
    with scratch(work) as folder:
        trained = fit(training, PARAMETERS, progress)
        model = Behaviour.of(store(trained, folder / "model"))
        for name in OUTCOMES:
            held = _cases(newest, name, frozenset(training.products))
            clicks, own = (
                answers(model, held.cases, progress, Tuning(), objective=objective).ranks
                for objective in (CLICK, {name: 1.0})
            )
            yield (
                name,
                ObjectiveFigures(
                    lessons=trained.lessons.get(name, 0),
                    is_learned=not model.missing({name: 1.0}),
                    cases=len(held.cases),
                    own=accuracy(own),
                    clicks=accuracy(clicks),
                    hit_rate=compare_pairs(own > 0, clicks > 0, held.sessions),
                ),
            )


def _cases(newest: Histories, name: ObjectiveName, known: frozenset[str]) -> Held:
    """Session by session, so that each case's is known."""
    cases: list[Case] = []
    sessions: list[int] = []
    for number in range(newest.sessions):
        if not np.isin(newest.types[newest.starts[number] : newest.starts[number + 1]], OUTCOMES[name]).any():
            continue
        part = newest.part(number, number + 1)
        every = np.ones(len(part.items), np.bool_)
        found = list(outcome_cases(part, every, OUTCOMES[name], len(every), known))
        cases += found
        sessions += [number] * len(found)
    places = np.linspace(0, len(cases) - 1, min(len(cases), CASES_MAX)).astype(np.int64)
    return Held([cases[place] for place in places.tolist()], np.array(sessions, np.int64)[places])
