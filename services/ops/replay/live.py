"""Into the live pipeline: the same events once more. By event_id nothing changes twice."""

import time
from collections.abc import Callable

from services.history.partitions import reading
from services.history.progress import Progress
from services.ops.replay import sessions
from services.ops.replay.answers import Fed, SessionsCompared
from services.ops.replay.feeding import Source, Tally, feed
from services.ops.replay.following import Group, wait_for
from services.ops.replay.pacing import Pace
from services.ops.replay.question import ReplayFailed
from services.ops.settings import OpsSettings


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


def replay(
    settings: OpsSettings, source: Source, speed: float | None, progress: Progress
) -> tuple[Fed, SessionsCompared, Pace]:
    """Writes the range to the live `events`, and waits until it is folded.

    Raises ReplayFailed, BrokerAway, NotDelivered. Broken off, it can be run again: what was written before
    changes nothing.
    """
    group = group_of(settings)
    before = _digests(settings, progress)
    pace, began = Pace(speed), time.monotonic()
    progress.stage("replaying events into live", len(source))
    tally = feed(source, settings, pace, progress, on_event=lambda _event: None, meanwhile=lambda: None)
    progress.stage("waiting for the session processor", tally.events)
    wait_for(
        group, group.ends(), tally.events, progress, meanwhile=_now_and_then(lambda: require_worker(group))
    )
    seconds = time.monotonic() - began
    after = _digests(settings, progress)
    return fed(tally, seconds, group.members()), sessions.unchanged(before, after, tally.visitors), pace


def _digests(settings: OpsSettings, progress: Progress) -> dict[str, bytes]:
    with reading(settings) as reader:
        return sessions.digests(reader, progress)


def _now_and_then(look: Callable[[], object], every_s: float = 10.0) -> Callable[[], object]:
    """At most so often: a worker that is started again leaves its group for a moment."""
    last = time.monotonic()

    def looked() -> None:
        nonlocal last
        if time.monotonic() - last > every_s:
            last = time.monotonic()
            look()

    return looked


def fed(tally: Tally, seconds: float, workers: int) -> Fed:
    """What was sent, and how fast it was folded."""
    return Fed(
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
