"""How long learning takes, and how much memory, by the number of events: drawn sessions of a drawn shop.

`python -m tests.benchmark.training --events 250000 --events 1000000` prints the figures as JSON. What is
measured is what `python -m services.trainer train` does between reading and storing: the last day held out, a
model of the rest, the same measured, and the model of all. Each size runs in a process of its own.
"""

import json
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated, Final

import msgspec
import numpy as np
import typer

from schemas.sessions import KIND_OF
from schemas.times import DAY_MS
from services.progress import Silent
from services.trainer.cases import last_day
from services.trainer.evaluation import evaluate
from services.trainer.sessions import Histories, compact
from services.trainer.training import Parameters, fit, refit
from tests.benchmark.accuracy.models import store

SEED: Final = 5
DAYS: Final = 90
LENGTH: Final = 5.0  # events a session
TOPICS: Final = 400  # a session stays with products of one
POPULAR: Final = 2.0  # exponent: how much more the first products of a topic are looked at


class TrainingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one size. `mb` is the most memory that the process ever took, the drawn events included."""

    events: int
    sessions: int
    products: int
    epochs: int
    seconds: float
    cpu_s: float
    microseconds_an_event: float
    mb: float
    hr_20: float


def draw(events: int, products: int) -> Histories:
    """Sessions in order of time."""
    random = np.random.default_rng(SEED)
    lengths = 1 + random.poisson(LENGTH - 1, size=int(events / LENGTH))
    topics = np.repeat(random.integers(TOPICS, size=len(lengths)), lengths)
    each = products // TOPICS
    places = (each * random.random(len(topics)) ** POPULAR).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = np.linspace(0, DAYS * DAY_MS, len(topics)).astype(np.int64)
    names = sorted(f"p{number}" for number in range(each * TOPICS))
    views = np.full(len(topics), KIND_OF["view_item"], dtype=np.uint8)
    return compact(names, topics * each + places, times, views, starts)


def measure(events: int, products: int) -> TrainingFigures:
    """Learns once. Blocks."""
    histories, parameters = draw(events, products), Parameters()
    began, cpu = perf_counter(), process_time()
    split = last_day(histories)
    trained = fit(split.training, parameters, Silent())
    with TemporaryDirectory() as folder:
        metrics = evaluate(store(trained, Path(folder) / "model"), split.cases, Silent())
    refit(trained, histories, parameters, Silent())
    seconds = perf_counter() - began
    return TrainingFigures(
        events=len(histories.items),
        sessions=histories.sessions,
        products=len(histories.products),
        epochs=parameters.item2vec.epochs_for(len(histories.items)),
        seconds=round(seconds, 1),
        cpu_s=round(process_time() - cpu, 1),
        microseconds_an_event=round(1e6 * seconds / len(histories.items), 1),
        mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        hr_20=round(metrics.hr_20, 4),
    )


def main(
    events: Annotated[
        list[int] | None, typer.Option(min=10_000, help="how many; can be given several times")
    ] = None,
    products: Annotated[int, typer.Option(min=TOPICS, help="how many there are")] = 36_000,
) -> None:
    """Prints the figures as JSON."""
    found = []
    for count in events or [100_000, 200_000]:
        typer.echo(f"learning from {count:,} events …", err=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(measure, count, products).result())
    json.dump(msgspec.to_builtins(found), sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
