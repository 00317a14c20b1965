"""A replay from its question to its report: resolved first, then fed, compared, and taken down."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.models import Manifest, ModelRelease
from schemas.sessions import SESSION_GAP_MS
from services.clock import now_ms
from services.files import scratch
from services.kafka.ranges import open_reader
from services.model import releases
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed, manifest_at
from services.ops.replay import evaluation, sessions, variant
from services.ops.replay.consumer_group import Group, wait_for
from services.ops.replay.figures import LIVE, SHADOW, SHOWN, FeedFigures, ReplayParameters, ReplayReport
from services.ops.replay.next_click import Case, CaseCollector
from services.ops.replay.recommendations import Row, read_shown_rows
from services.ops.replay.report import report
from services.ops.replay.shadow_pipeline import Pipeline, PipelineSpec, setting_names
from services.ops.replay.shadow_topics import lock_prefix, prefix_of, teardown_stack
from services.ops.replay.source import Pace, ReplayFailed, ReplayRequest, Source, Tally, feed, format_speed
from services.ops.replay.variant import VariantSettings
from services.ops.settings import OpsSettings
from services.progress import Progress
from services.time_range import TimeRange


def group_of(settings: OpsSettings) -> Group:
    """The live session processor's group, which must have a worker. Raises ReplayFailed, BrokerAway."""
    group = Group(settings, settings.topic_prefix + settings.session_processor_group)
    require_worker(group)
    return group


def require_worker(group: Group) -> None:
    """Raises ReplayFailed where nobody folds what is written."""
    if not group.members():
        raise ReplayFailed(
            f"no session processor is in the group {group.name}: start one "
            "(python -m services.session_processor), or set EDDY_SESSION_PROCESSOR_GROUP to its group; "
            "to replay without live, add --prefix shadow"
        )


def _now_and_then(look: Callable[[], object], every_s: float = 10.0) -> Callable[[], object]:
    """At most so often: a worker that is started again leaves its group for a moment."""
    last = time.monotonic()

    def look_seldom() -> None:
        nonlocal last
        if time.monotonic() - last > every_s:
            last = time.monotonic()
            look()

    return look_seldom


def feed_figures(tally: Tally, seconds: float, workers: int) -> FeedFigures:
    """What was sent, and how fast it was folded."""
    return FeedFigures(
        events=tally.events,
        visitors=len(tally.visitors),
        bad=tally.bad,
        erased=tally.erased,
        since=tally.since or 0,
        until=tally.until or 0,
        seconds=round(seconds, 3),
        events_per_s=round(tally.events / max(seconds, 1e-9), 1),
        workers=workers,
    )


AFTER_MS: Final = SESSION_GAP_MS  # rows shown to those whose last event is at the end of the range
SECOND: Final = "-live"  # what is put behind the prefix of the pipeline with today's settings

OF_TODAY: Final = (
    "Catalogue, prices, stock and rules are those of now, not those of the replayed time; what is popular is "
    "counted over the whole range."
)
APART: Final = "Visitors that turned out to be one user are replayed each by itself."
LIVE_GOES_ON: Final = (
    "Sessions of the replayed visitors were compared as they were before and after; what these visitors did "
    "meanwhile counts as a change, too."
)

NOTHING_SHOWN: Final = (
    "Nothing is on record of what these visitors were shown after the events of the cases, so there is no "
    f"“{SHOWN}” to compare with."
)

NOTHING_BOUGHT: Final = (
    "Nobody bought what they had clicked on within the range, so there is nothing to draw objectives by."
)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a question comes to, before anything is made."""

    asked: ReplayParameters
    wanted: tuple[PipelineSpec, ...]
    notes: tuple[str, ...]


def into_live(
    settings: OpsSettings, question: ReplayRequest, source: Source, progress: Progress
) -> ReplayReport:
    """Writes the range to the live `events`, and waits until it is folded.

    Raises ReplayFailed, BrokerAway, NotDelivered. Broken off, it can be run again: what was written before
    changes nothing.
    """
    group = group_of(settings)
    with open_reader(settings) as reader:
        before = sessions.digests(reader, progress)
    pace, began = Pace(question.speed), time.monotonic()
    progress.stage("replaying events into live", len(source))
    tally = feed(source, settings, pace, progress, on_event=lambda _event: None, meanwhile=lambda: None)
    progress.stage("waiting for the session processor", tally.events)
    meanwhile = _now_and_then(lambda: require_worker(group))
    wait_for(group, group.ends(), tally.events, progress, meanwhile=meanwhile)
    seconds = time.monotonic() - began
    with open_reader(settings) as reader:
        after = sessions.digests(reader, progress)
    return report(
        _parameters_of(question),
        feed_figures(tally, seconds, group.members()),
        sessions.compare_digests(before, after, tally.visitors),
        (),
        {},
        0,
        [LIVE_GOES_ON, *_notes(question, source, pace.late_p99_s)],
        int(now_ms()),
    )


def resolve(settings: OpsSettings, question: ReplayRequest, source: Source) -> ReplayPlan:
    """The pipelines that a question is answered by. Raises ReplayFailed for what makes none."""
    assert question.prefix is not None
    now = int(now_ms())
    changed = VariantSettings()
    if question.settings is not None:
        known = setting_names("session_processor", "recommender")
        changed = variant.read(question.settings, known)
    own = settings.model_name
    current = releases.current(settings, own)
    release = current
    if question.model is not None:
        release = variant.choose_release(question.model, own, settings.tenant_store, current, now)
    first = PipelineSpec(SHADOW, question.prefix, changed.settings, release, changed.experiment(now))
    second = PipelineSpec(LIVE, question.prefix + SECOND, {}, current, None)
    wanted = (first, second) if question.has_variant else (first,)
    for each in wanted:
        prefix_of(settings, each.prefix)
    named = (f"{own}={release.version if release else variant.NO_MODEL}",) if question.model else ()
    asked = _parameters_of(question, models=named, changed=changed)
    learned = {each.release.version: each.release for each in wanted if each.release is not None}
    notes = [OF_TODAY, APART, *(note for each in learned.values() for note in _training_notes(each, source))]
    return ReplayPlan(asked, wanted, tuple(notes))


def in_shadow(
    settings: OpsSettings,
    question: ReplayRequest,
    source: Source,
    progress: Progress,
    *,
    take_over: bool,
    on_left: Callable[[str], object],
    keep: Callable[[ReplayReport, list[Pipeline]], object] | None = None,
) -> ReplayReport:
    """Replays into pipelines of its own and takes them down, whatever happens.

    `on_left` is told what could not be removed. `keep` is called with the report while all is still up.
    Raises ReplayFailed, BrokerAway, NotDelivered, RowsRefused and what the model store raises.
    """
    progress.stage("resolving models and settings")
    plan = resolve(settings, question, source)
    collector = CaseCollector(question.cases, SESSION_GAP_MS)
    pipelines: list[Pipeline] = []
    run, first, rows = secrets.token_hex(4), None, dict[str, dict[Case, Row]]()
    with scratch(settings.ops_datadir / "replay") as work, teardown_stack() as stack:
        for wanted in plan.wanted:
            stack.enter_context(lock_prefix(settings, prefix_of(settings, wanted.prefix)))
        for wanted in plan.wanted:
            pipeline = Pipeline(settings, wanted, run=run, work=work, progress=progress, stack=stack)
            pipelines.append(pipeline)
            pipeline.make(int(now_ms()), take_over=take_over, on_left=on_left)
            if first is None:
                first = pipeline.replay(source, question.speed, question.workers, collector.add)
                sessions = pipeline.compare_sessions(first.tally)
            else:  # as fast as it goes: the speed changes no session
                pipeline.replay(source, None, question.workers, lambda _event: None)
            visitors = len(first.tally.visitors)
            is_first = wanted is plan.wanted[0]
            rows[wanted.name] = pipeline.rows(
                collector.cases(),
                question.k,
                visitors,
                keep=keep is not None and is_first,
                bought=collector.bought() if is_first else (),
            )
        assert first is not None
        progress.stage("reading what live showed")
        with open_reader(settings) as reader:
            times = question.times
            later = TimeRange(times.since, None if times.until is None else times.until + AFTER_MS)
            shown = read_shown_rows(reader, collector.cases(), later)
        notes = [
            *_notes(question, source, first.late_p99_s),
            *plan.notes,
            *collector.notes(),
            *pipelines[0].lost.notes(len(collector.cases())),
        ]
        if shown:
            rows[SHOWN] = shown
        else:
            notes.append(NOTHING_SHOWN)
        if not pipelines[0].mixtures:
            notes.append(NOTHING_BOUGHT)
        made = report(
            plan.asked,
            feed_figures(first.tally, first.seconds, question.workers),
            sessions,
            collector.cases(),
            rows,
            pipelines[0].products,
            notes,
            int(now_ms()),
            evaluation.front(
                pipelines[0].mixtures,
                collector.cases(),
                collector.bought(),
                question.k,
                plan.asked.confidence,
            ),
        )
        if keep is not None:
            keep(made, pipelines)
        progress.stage("taking it down")
    return made


def _parameters_of(
    question: ReplayRequest,
    models: tuple[str, ...] = (),
    changed: VariantSettings = VariantSettings(),  # noqa: B008
) -> ReplayParameters:
    return ReplayParameters(
        since=question.times.since,
        until=question.times.until,
        speed=format_speed(question.speed),
        prefix=question.prefix,
        visitor_id=question.visitor_id,
        archive=question.archive,
        models=models,
        settings=changed.settings,
        weights={str(kind): weights for kind, weights in changed.weights.items()},
        k=question.k,
    )


def _notes(question: ReplayRequest, source: Source, late_p99_s: float | None) -> Iterator[str]:
    if late_p99_s is not None:
        yield (
            f"At speed {format_speed(question.speed)} 99% of the events left at most "
            f"{1000 * late_p99_s:,.1f} ms after they were due."
        )
    if source.erasures.unreadable:
        yield (
            f"{source.erasures.unreadable} messages of erasures cannot be read; each counts up to when it "
            "was sent."
        )


def _training_notes(release: ModelRelease, source: Source) -> Iterator[str]:
    """Whether a model knows what it is asked for."""
    try:
        manifest, _ = manifest_at(release.location)
    except (StoreFailed, ArtifactRefused) as error:
        yield f"What {release.version} was trained on is not known: {error}"
        return
    if reaches_into(manifest, source):
        yield (
            f"The model {release.version} was trained on events of the replayed time: it knows some of the "
            "clicks that it is asked for, so its figures flatter it."
        )


def reaches_into(manifest: Manifest, source: Source) -> bool:
    """Whether a model has learned from the replayed range; times of an open range reach everywhere."""
    data, times = manifest.data, source.times
    if not data.until:
        return False
    return (times.until is None or data.since < times.until) and (
        times.since is None or data.until >= times.since
    )
