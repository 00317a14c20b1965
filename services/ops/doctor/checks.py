"""What `doctor` looks at: broker, topics, groups, services, index, model, disk, clock, versions."""

import re
import shutil
import sys
import time
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from confluent_kafka import KafkaException, TopicPartition

from schemas.deadletters import MISPLACED, REASON, LetterId, parse_mark
from schemas.models import ModelRelease
from schemas.times import DAY_MS
from schemas.topics import (
    EVENTS,
    EVENTS_DLQ,
    PRODUCT_VECTORS,
    PRODUCTS_DLQ,
    RECOMMENDATIONS,
    SESSIONS,
    TOPICS,
)
from schemas.unreadable import Unreadable
from schemas.vectors import LayoutMismatch
from services.clock import now_ms
from services.kafka.admin import NEWEST, KafkaAdmin
from services.kafka.ranges import headers_of, open_reader
from services.model import releases, store
from services.model.artifact import ArtifactRefused
from services.model.settings import ROOT
from services.model.store import StoreFailed
from services.ops import services
from services.ops.doctor.report import GB, Finding, State, judge_clocks, judge_disk, judge_versions
from services.ops.index.query import TopicState, index_probe
from services.ops.lag.query import LagReader
from services.ops.lag.report import age, list_groups
from services.ops.settings import OpsSettings
from services.ops.topics import command
from services.progress import Silent
from services.time_range import TimeRange, format_time
from services.visitors import erasure

ASK_S: Final = 3.0
SLOW_MS: Final = 500.0
NAMED: Final = 3


def broker(settings: OpsSettings) -> Finding:
    """Whether one answers, and how soon. Takes up to 3 s."""
    admin = KafkaAdmin(settings, ASK_S)
    began = time.monotonic()
    try:
        found, cluster_id = admin.cluster(), admin.cluster_id()
    except KafkaException as error:
        return Finding(
            "broker",
            "bad",
            f"no Kafka broker answers at {settings.kafka_bootstrap} ({error.args[0].str()})",
            "start it (make up, or see its own log), or set EDDY_KAFKA_BOOTSTRAP",
        )
    ms = (time.monotonic() - began) * 1000
    told = (
        f"brokers: {len(found.brokers)}, at {settings.kafka_bootstrap}, cluster {cluster_id}, "
        f"answers in {ms:.0f} ms"
    )
    if ms > SLOW_MS:
        return Finding("broker", "warn", told, "look at its load, its disk and the network between")
    return Finding("broker", "ok", told)


def topic_list(settings: OpsSettings) -> list[Finding]:
    """The topics against schemas/topics.py."""
    found = command.find_differences(settings, ASK_S)
    drifts = [each for each in found if each.is_drift]
    if drifts:
        more = f" and {len(drifts) - NAMED} more" if len(drifts) > NAMED else ""
        told = "; ".join(map(str, drifts[:NAMED])) + more
        return [Finding("topics", "bad", told, "python -m services.ops topics check")]
    notes = f"; {len(found)} notes (topics check)" if found else ""
    return [Finding("topics", "ok", f"{len(TOPICS)} as schemas/topics.py lists them{notes}")]


def groups(settings: OpsSettings) -> list[Finding]:
    """Each consumer group: whether somebody reads and keeps up."""
    reader, found = LagReader(settings, ASK_S), []
    for each in list_groups(settings):
        group = reader.look(each, now_ms())
        told = f"{group.group}: members {len(group.members)}, lag {group.lag:,}; {group.meaning}"
        state: State = "ok" if group.is_healthy else "warn" if group.members and not group.lost else "bad"
        found.append(Finding(f"group {each.service}", state, told, group.what_to_do))
    return found


def dead_letters(settings: OpsSettings) -> list[Finding]:
    """Those of the last day that nobody has handled."""
    since = TimeRange(int(now_ms()) - DAY_MS)
    found = []
    misplaced: set[LetterId] = set()
    with open_reader(settings) as reader:
        for of, topic in (("events", EVENTS_DLQ), ("products", PRODUCTS_DLQ)):
            open_: set[LetterId] = set()
            for messages in reader.read(reader.spans(topic, since)):
                for message in messages:
                    if (mark := parse_mark(headers_of(message))) is not None:
                        open_.discard(mark[0])
                    else:
                        place = (int(message.partition() or 0), int(message.offset() or 0))
                        open_.add(LetterId(topic.name, *place))
                        if MISPLACED.encode() in (dict(headers_of(message)).get(REASON) or b""):
                            misplaced.add(LetterId(topic.name, *place))
            if of_producers := misplaced & open_:
                told = f"{len(of_producers):,} messages were put on other partitions than their keys'"
                what = f"{MISPLACED} there, then: python -m services.ops dlq requeue --reason partitioner"
                found.append(Finding(f"producers of {of}", "bad", told, what))
            told = f"{len(open_):,} open of the last day on {settings.topic(topic)}"
            what_to_do = "python -m services.ops dlq list" if open_ else ""
            found.append(Finding(f"dead letters of {of}", "warn" if open_ else "ok", told, what_to_do))
    return found


def erasures(settings: OpsSettings) -> list[Finding]:
    """Who is to be forgotten, and whether every reader of history can read so."""
    with open_reader(settings) as reader:
        found = erasure.read(reader)
    newest = f", the newest of {format_time(max(found.until.values()))}" if found.until else ""
    told = f"{len(found.until):,} visitors are to be forgotten{newest}"
    if found.unreadable:
        return [
            Finding(
                "erasures",
                "bad",
                f"{told}; {found.unreadable} messages cannot be read, and count up to when they were sent",
                "erase those visitors again: python -m services.ops erase VISITOR",
            )
        ]
    return [Finding("erasures", "ok", told)]


def service(settings: OpsSettings, name: str) -> list[Finding]:
    """One service at /readyz."""
    found = services.health(settings, name)
    variable = f"EDDY_{name.upper()}_URL"
    if found.error is not None:
        what = f"start it (python -m services.{name}, or make up), see its log, or set {variable}"
        return [Finding(name, "bad", found.summary, what)]
    if not found.ready:
        return [
            Finding(
                name, "warn", f"{found.summary} ({found.url})", "wait, or mend what it waits for; see its log"
            )
        ]
    products = "" if found.products is None else f", {found.products:,} products"
    return [Finding(name, "ok", f"ready at {found.url}{products}")]


def clocks(settings: OpsSettings, broker_answers: bool) -> list[Finding]:
    """One line: the greatest difference counts."""
    apart = {
        name: found.ahead_s
        for name in services.SERVICES
        if (found := services.health(settings, name)).ahead_s is not None
    }
    if broker_answers:
        apart["Kafka's newest message"] = max(0.0, (_newest(settings) - now_ms()) / 1000)
    return [judge_clocks(apart.items())]


def _newest(settings: OpsSettings) -> int:
    """When the newest message was written, Unix ms, by the clock of who wrote it; 0 where there is none."""
    parts = [
        TopicPartition(settings.topic(topic), number)
        for topic in (EVENTS, SESSIONS, PRODUCT_VECTORS, RECOMMENDATIONS)
        for number in range(topic.partitions)
    ]
    return max(int(found.timestamp) for found in KafkaAdmin(settings, ASK_S).offsets(parts, NEWEST).values())


def room(settings: OpsSettings, broker_answers: bool) -> list[Finding]:
    """A line a disk."""
    store = urlsplit(settings.model_store)
    places = {
        "models": Path(store.path) if store.scheme in {"", "file"} else None,
        "ops": settings.ops_datadir,
        "build": ROOT / "build" / "stack",
    }
    if broker_answers:
        places |= {
            f"broker {folder}": Path(folder) for folder in _log_dirs(settings) if Path(folder).is_dir()
        }
    disks: dict[int, tuple[Path, list[str]]] = {}
    for name, path in places.items():
        if path is None:
            continue
        there = _nearest_folder(path)
        disks.setdefault(there.stat().st_dev, (there, []))[1].append(name)
    return [
        _line("disk" if len(disks) == 1 else f"disk of {names[0]}", path, names)
        for path, names in disks.values()
    ]


def _line(check: str, path: Path, names: Iterable[str]) -> Finding:
    usage = shutil.disk_usage(path)
    told = f"{usage.free / GB:,.1f} of {usage.total / GB:,.0f} GB are free at {path} ({', '.join(names)})"
    state = judge_disk(usage.free, usage.total)
    what = "" if state == "ok" else "free some, or move it: a broker that cannot write stops"
    return Finding(check, state, told, what)


def _nearest_folder(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.resolve()
    return path if path.exists() else next(each for each in path.parents if each.exists())


def _log_dirs(settings: OpsSettings) -> set[str]:
    """Folders of all brokers' logs, wherever they are. The broker tells no free space over its protocol."""
    try:
        brokers = KafkaAdmin(settings, ASK_S).broker_configs()
        found = [configs["log.dirs"].value for configs in brokers.values()]
    except KafkaException:  # not everybody may ask that
        return set()
    return {folder for value in found if value for folder in value.split(",")}


LIVE_S: Final = 2.0  # what changes just now is on its way
LOOK_S: Final = 0.25


def index(settings: OpsSettings) -> list[Finding]:
    """Two lines: vectors and index."""
    look = index_probe(settings)
    deadline = time.monotonic() + LIVE_S
    with open_reader(settings) as reader:
        topic = TopicState(reader, settings.layout)
        try:
            topic.read_on(Silent())
            while not (state := look(topic)).agrees and time.monotonic() < deadline:
                time.sleep(LOOK_S)
                topic.read_on(Silent())
        except LayoutMismatch as error:
            return [Finding("vectors", "bad", str(error), "set both widths alike in all services")]
    vectors = Finding("vectors", "ok", f"{state.on_topic:,} products, of the settings' layout")
    if not state.on_topic:
        what = "python -m services.ops catalogue load FILE; and see that the embedder runs"
        vectors = Finding("vectors", "warn", "no product has a vector", what)
    told = state.counts
    if state.agrees:
        return [vectors, Finding("index", "ok", told)]
    counts = ", ".join(
        f"{count:,} {kind}"
        for kind, count in (("missing", state.missing), ("surplus", state.surplus), ("stale", state.stale))
        if count
    )
    more = "; ".join(filter(None, (counts, state.trouble)))
    what = "python -m services.ops index check --wait 60, then index rebuild"
    return [vectors, Finding("index", "bad", f"{told}{f'; {more}' if more else ''}", what)]


OLD_MS: Final = 30 * DAY_MS  # the retention of events: nothing it learned from is there any more
TRAIN: Final = "python -m services.trainer train, then release"


def read_release(settings: OpsSettings) -> ModelRelease | None:
    """The newest release of the settings' model. Raises Unreadable for what is none."""
    newest = releases.newest_by_name(settings).get(settings.model_name)
    if isinstance(newest, Unreadable):
        raise newest
    return newest


def model(settings: OpsSettings, work: Path) -> list[Finding]:
    """Of the released version: its age, its bytes in the store, its service. `work` is for the time being."""
    try:
        release = read_release(settings)
    except Unreadable as error:
        told = f"the newest message of {settings.model_name} on models is no release: {error}"
        return [
            Finding("model", "bad", told, "python -m services.trainer rollback, or release another version")
        ]
    if release is None:
        told = f"no {settings.model_name} is released: rows are made of content and popularity alone"
        return [Finding("model", "warn", told, TRAIN)]
    return [_check_age(release, now_ms()), _check_store(release, work), _check_service(settings, release)]


def _check_age(release: ModelRelease, now: float) -> Finding:
    old_ms = max(0.0, now - release.released_at)
    told = f"{release.name} {release.version}, released {age(old_ms / 1000)} ago"
    if old_ms > OLD_MS:
        return Finding("model", "warn", told, f"it has seen nothing of the events that there are: {TRAIN}")
    return Finding("model", "ok", told)


def _check_store(release: ModelRelease, work: Path) -> Finding:
    """Every byte is looked at."""
    try:
        store.check(release.location, release.digest, work)
    except StoreFailed as error:
        what = "mend the store or its credentials; a recommender that starts now gets no model"
        return Finding("model store", "bad", str(error), what)
    except ArtifactRefused as error:
        what = "python -m services.ops models rollback, or put the version there again"
        return Finding("model store", "bad", f"{release.version} is not as released: {error}", what)
    return Finding("model store", "ok", f"{release.location} is whole")


def _check_service(settings: OpsSettings, release: ModelRelease) -> Finding:
    try:
        url = f"{services.url_of(settings, 'recommender')}/metrics"
        answer = httpx.get(url, timeout=services.READY_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding(
            "model served",
            "warn",
            f"the recommender does not tell: {error}",
            "see the line of the recommender",
        )
    versions = [
        labels["version"]
        for labels, value in services.samples(answer, services.SERVED)
        if labels["model"] == release.name and value
    ]
    if versions == [release.version]:
        return Finding("model served", "ok", f"the recommender serves {release.version}")
    serves = ", ".join(versions) or "no model"
    return Finding(
        "model served",
        "bad",
        f"the recommender serves {serves}, and {release.version} is released",
        "its log tells why it was refused, or that its store is away: it tries again by itself",
    )


LOCK: Final = ROOT / "requirements.lock"
PINNED: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)


def versions(lock: Path = LOCK) -> list[Finding]:
    """One line."""
    installed = {_name(each.metadata["Name"]): each.version for each in distributions()}
    pinned = (
        {_name(name): version for name, version in PINNED.findall(lock.read_text())} if lock.exists() else {}
    )
    return [judge_versions(sys.version_info[:2], installed, pinned)]


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
