"""The next product on public datasets, each way of ordering beside the others."""

from pathlib import Path
from time import perf_counter

from schemas.models import Metrics
from services.files import scratch
from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.session import Tuning
from services.progress import Progress
from services.trainer import session_files
from services.trainer.cases import Case
from services.trainer.evaluation import answers, metrics
from services.trainer.sessions import Histories
from services.trainer.training import Parameters, fit
from tests.benchmark.accuracy import index_speed, item2vec_search
from tests.benchmark.accuracy.figures import (
    FUSED,
    ITEM2VEC,
    ITEM2VEC_ORDERS,
    KNN_ORDERS,
    SERVES,
    DatasetFigures,
)
from tests.benchmark.accuracy.models import ByItem2Vec, ByKnn, store, without_trees
from tests.benchmark.machine import this_machine


def from_files(folder: Path, work: Path, progress: Progress) -> DatasetFigures:
    """Learns from a dataset's train file; its test file is looked at for measuring only."""
    progress.stage("reading files")
    histories = session_files.read_histories(folder / "train.txt.gz")
    return measure(histories, session_files.read_cases(folder / "test.txt.gz"), work, progress)


def measure(
    histories: Histories,
    cases: list[Case],
    work: Path,
    progress: Progress,
    parameters: Parameters | None = None,
) -> DatasetFigures:
    """One learning, one set of cases, all ways of ordering. `work` is a folder for what is not kept."""
    parameters, machine = parameters or Parameters(), this_machine()
    with scratch(work) as folder:
        started = perf_counter()
        model = store(fit(histories, parameters, progress), folder / "model")
        learning_s = perf_counter() - started
        rows = _rows(model, cases, parameters.tuning, progress)
        progress.stage("the index alone, and numpy")
        speed = index_speed.measure(model, cases, parameters.tuning)
    return DatasetFigures(
        machine=machine,
        sessions=histories.sessions,
        products=len(histories.products),
        learning_s=round(learning_s, 1),
        rows=rows,
        speed=speed,
    )


def _rows(model: Artifact, cases: list[Case], tuning: Tuning, progress: Progress) -> dict[str, Metrics]:
    serves = Behaviour.of(model)
    rows = {ITEM2VEC: metrics(serves, item2vec_search.search(model, cases, progress, tuning))}
    ways = {
        ITEM2VEC_ORDERS: ByItem2Vec.of(model),
        KNN_ORDERS: ByKnn.of(model),
        FUSED: Behaviour.of(without_trees(model)),
        SERVES: serves,
    }
    for name, way in ways.items():
        rows[name] = metrics(way, answers(way, cases, progress, tuning))
    return rows
