"""From simulated visits to the artifact that the demo ships, by the trainer's own code."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from schemas.models import DataRange, Manifest, Metrics
from schemas.sessions import KIND_OF
from services.files import scratch
from services.model import artifact
from services.model.session import Tuning
from services.progress import Progress
from services.trainer import popularity
from services.trainer.cases import Case, last_day
from services.trainer.content import Contents
from services.trainer.evaluation import evaluate
from services.trainer.lambdarank import LambdaRank
from services.trainer.sessions import Histories, compact
from services.trainer.skipgram import SkipGram
from services.trainer.training import Parameters, TrainedModel, fit, refit
from storefront.demo.shoppers.shelf import SIMULATED, Catalogue
from storefront.demo.shoppers.visits import Visit

# Smaller than a shop's: it is shipped in the repository, and a demo has few products. One thread, because
# gensim's threads race, and the same visits are to give the same vectors.
PARAMETERS: Final = Parameters(
    item2vec=SkipGram(width=40), lambdarank=LambdaRank(rounds=80), nearest=50, threads=1
)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned, not on disk yet; `metrics` are about simulated visits that it had not seen."""

    trained: TrainedModel
    manifest: Manifest
    metrics: Metrics
    popular: Metrics


def histories(visits: Iterable[Visit]) -> Histories:
    """Visits as the trainer takes them: in order of their ends, with the types of events that count."""
    counts = {type_ for type_, weight in Tuning().type_weights.items() if weight}
    kept = [[step for step in visit.steps if step.type in counts] for visit in visits]
    ordered = sorted((steps for steps in kept if steps), key=lambda steps: steps[-1].at)
    steps = [step for each in ordered for step in each]
    products = sorted({step.product_id for step in steps})
    place = {product_id: number for number, product_id in enumerate(products)}
    return compact(
        products,
        np.array([place[step.product_id] for step in steps], dtype=np.int32),
        np.array([step.at for step in steps], dtype=np.int64),
        np.array([KIND_OF[step.type] for step in steps], dtype=np.uint8),
        np.cumsum([0, *map(len, ordered)], dtype=np.int64),
    )


def unseen(cases: Iterable[Case]) -> list[Case]:
    """Cases whose product is new in its visit: that one puts into the cart what one looks at is no news."""
    return [case for case in cases if case.target not in case.prefix]


def learned(
    visits: Sequence[Visit],
    catalogue: Catalogue,
    seed: int,
    contents: Contents | None,
    *,
    work: Path,
    progress: Progress,
    parameters: Parameters = PARAMETERS,
) -> Learned:
    """Learns, measures on the last day, and learns from that day, too, as the trainer does.

    The manifest carries no figures and says that the shoppers were simulated: no gate and no release may
    take them for those of real visits. `work` is a folder for the time being.
    """
    history = histories(visits)
    split = last_day(history)
    cases = unseen(split.cases)
    first = fit(split.training, parameters, progress, contents)
    told = {"catalogue": asdict(catalogue), "visits": len(visits), "seed": seed}
    with scratch(work) as folder:
        digest = artifact.write(
            folder / "measured", first.arrays, first.texts, _manifest(history, first, told)
        )
        metrics = evaluate(
            artifact.load(folder / "measured", digest),
            cases,
            progress,
            tuning=parameters.tuning,
            contents=contents,
        )
    whole = refit(first, history, parameters, progress, contents)
    return Learned(
        whole, _manifest(history, whole, told), metrics, popularity.measure_popularity(split.training, cases)
    )


def _manifest(history: Histories, trained: TrainedModel, told: dict[str, object]) -> Manifest:
    """Its time is that of the newest visit, long ago: whatever a person trains is the newer version."""
    until = int(history.times.max())
    return Manifest(
        version=f"{datetime.fromtimestamp(until / 1000, UTC):%Y%m%dT%H%M%SZ}-{_digest(trained)}",
        created_at=until,
        data=DataRange(int(history.times.min()), until),
        counts={
            "events": len(history.times),
            "sessions": history.sessions,
            "products": len(history.products),
        },
        parameters=trained.parameters | {SIMULATED: told},
    )


def _digest(trained: TrainedModel) -> str:
    """Other arrays are another version."""
    found = hashlib.sha256()
    for name, array in sorted(trained.arrays.items()):
        found.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:8]
