"""Learning, put together: history → sessions → model → measured on the last day → store."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from schemas.models import Compared, DataRange, Manifest, Metrics, ModelRelease, Released
from schemas.objectives import Objective
from services.clock import now_ms
from services.files import scratch
from services.model import artifact, releases, store
from services.model.artifact import Artifact, ArtifactRefused
from services.model.behaviour import Behaviour
from services.model.repurchase import Repeats
from services.model.session import Tuning
from services.model.store import ModelStore, StoreFailed
from services.progress import Progress
from services.time_range import TimeRange
from services.trainer import content, popularity, session_files, topic_history
from services.trainer.cases import Case, Split, last_day
from services.trainer.content import Contents
from services.trainer.evaluation import accuracy, answers, evaluate
from services.trainer.gate import Verdict
from services.trainer.impressions import row_lessons
from services.trainer.objectives import measure_objectives
from services.trainer.release import evaluate_gate
from services.trainer.repurchase import learn_repeats
from services.trainer.sessions import Histories, newest, sessionise
from services.trainer.settings import TrainerSettings
from services.trainer.topic_history import NothingToRead, Tally
from services.trainer.training import Parameters, TrainedModel, fit, refit


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version in the store that nobody serves yet, what the gate says of it, and what was left out."""

    released: Released
    manifest: Manifest
    verdict: Verdict
    tally: Tally


def train(
    settings: TrainerSettings, times: TimeRange, progress: Progress, archives: Sequence[str] = ()
) -> TrainedVersion:
    """Learns from the topic and from archives of it at these URLs, measures on the last day, and stores the
    version; releases nothing.

    Killed at any moment, it leaves nothing that could be taken for a version, and starts anew the next time.
    Raises what topic_history, releases and the store raise.
    """
    with scratch(settings.trainer_datadir) as work:
        models = ModelStore(settings.tenant_store, settings.model_name)
        models.require_writable()
        current = releases.current(settings, settings.model_name)
        most = settings.trainer_events_max
        history = topic_history.read(
            settings,
            times,
            settings.event_types,
            progress,
            archives,
            most=most,
            rows_most=settings.trainer_rows_max,
        )
        progress.stage("sessions")
        tuning = settings.tuning
        everything = sessionise(history.events, tuning.gap_ms, clicks_give_way=tuning.clicks_give_way)
        histories = newest(everything, most)
        history.tally.too_old += len(everything.items) - len(histories.items)
        if histories.sessions == 0:
            raise NothingToRead(_nothing_learnable(history.tally, settings))
        catalogue = content.read(settings, progress)
        released = None if current is None else _fetch_released(settings, current)
        split = _split(histories, released, settings.gate_cases_min)

        parameters = Parameters(tuning=tuning)
        lessons = row_lessons(history.rows, history.events, tuning)
        known = [each for each in lessons if each.shown_at < (split.begins or each.shown_at + 1)]
        trained = fit(split.training, parameters, progress, catalogue, impressions=known)
        seen = [row for row in history.rows if row.shown.shown_at < (split.begins or row.shown.shown_at + 1)]
        trained = trained.learn_beside(Repeats(), seen)
        measured = _store(work / "measured", trained, _manifest(split.training, split.cases, trained))
        metrics = Evaluator(split.cases, parameters.tuning, catalogue, progress)
        objectives = measure_objectives(
            (model := Behaviour.of(measured)),
            trained.lessons,
            split.outcomes,
            partial(metrics.ask, model),
            cases_min=settings.gate_cases_min,
        )
        trained = trained.without([name for name, each in objectives.items() if each.reason])
        # What serves has learned from the newest day, too; what was measured could not.
        whole = refit(trained, histories, parameters, progress, catalogue)
        whole = whole.learn_beside(
            learn_repeats(history.events, catalogue.kinds if catalogue else {}), history.rows
        )
        manifest = replace(
            _manifest(histories, split.cases, whole),
            metrics=metrics.of(measured),
            popularity=popularity.measure_popularity(split.training, split.cases),
            released=None if current is None else _compare(current, released, split, metrics),
            objectives=objectives,
        )
        progress.stage("storing")
        digest = artifact.write(work / manifest.version, whole.arrays, whole.texts, manifest)
        location = models.upload(work / manifest.version, manifest.version)
    verdict = evaluate_gate(settings, manifest, current)
    return TrainedVersion(Released(manifest.version, location, digest), manifest, verdict, history.tally)


def evaluate_files(train_file: Path, test_file: Path, datadir: Path, progress: Progress) -> Metrics:
    """Learns from one file of sessions and measures on another's cases. Raises UnreadableFile.

    Also where no product that is to be told is among those that can be learned.
    """
    progress.stage("reading files")
    cases = session_files.read_cases(test_file)  # the smaller one first: a bad one is told at once
    histories = session_files.read_histories(train_file)
    session_files.require_common(test_file, cases, train_file, histories)
    with scratch(datadir) as work:
        trained = fit(histories, Parameters(), progress)
        model = _store(work / "model", trained, _manifest(histories, cases, trained))
        return evaluate(model, cases, progress)


def _store(folder: Path, trained: TrainedModel, manifest: Manifest) -> Artifact:
    """A model as services get it: through its files."""
    return artifact.load(folder, artifact.write(folder, trained.arrays, trained.texts, manifest))


def _manifest(histories: Histories, cases: Sequence[Case], trained: TrainedModel) -> Manifest:
    created_at = int(now_ms())
    times = histories.times
    return Manifest(
        version=f"{datetime.fromtimestamp(created_at / 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        created_at=created_at,
        data=DataRange(int(times.min()), int(times.max())) if len(times) else DataRange(0, 0),
        counts={
            "events": len(times),
            "sessions": histories.sessions,
            "products": len(histories.products),
            "cases": len(cases),
        },
        parameters=trained.parameters,
    )


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What all models of one training are measured by."""

    cases: Sequence[Case]
    tuning: Tuning
    catalogue: Contents | None
    progress: Progress

    def of(self, model: Artifact) -> Metrics | None:
        """None without any cases."""
        if not self.cases:
            return None
        return evaluate(model, self.cases, self.progress, tuning=self.tuning, contents=self.catalogue)

    def ask(self, model: Behaviour, objective: Objective, cases: Sequence[Case]) -> tuple[float, float]:
        """The hit rate and the mean reciprocal rank of its order for an objective, on these cases."""
        given = answers(model, cases, self.progress, self.tuning, self.catalogue, objective=objective)
        return accuracy(given.ranks)


def _fetch_released(settings: TrainerSettings, current: ModelRelease) -> Artifact | str:
    """The released model, or why there is none."""
    try:
        return store.fetch(current.location, current.digest, settings.trainer_datadir / "cache")
    except (StoreFailed, ArtifactRefused) as error:
        return str(error)


def _split(histories: Histories, released: Artifact | str | None, cases_min: int) -> Split:
    """The last day; of it what the released model has not learned from, where that is enough."""
    if isinstance(released, Artifact):
        split = last_day(histories, after=released.manifest.data.until)
        if len(split.cases) >= cases_min:
            return split
    return last_day(histories)


def _compare(
    current: ModelRelease, released: Artifact | str | None, split: Split, metrics: "Evaluator"
) -> Compared:
    """The released model on the same cases; why it could not be measured is told to the gate."""
    if not isinstance(released, Artifact):
        return Compared(current.version, None, released)
    if split.begins <= released.manifest.data.until:
        return Compared(
            current.version, None, "it has learned from the last day already, wait for new events"
        )
    try:
        return Compared(current.version, metrics.of(released))
    except ArtifactRefused as error:
        return Compared(current.version, None, str(error))


def _nothing_learnable(tally: Tally, settings: TrainerSettings) -> str:
    types = ", ".join(sorted(settings.event_types))
    return (
        f"none of the {tally.messages:,} messages is an event about a product that counts ({types}): "
        f"{tally.bad:,} are no events, {tally.erased:,} are of erased visitors"
    )
