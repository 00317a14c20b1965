"""The topics of a shadow pipeline: marked as such before they are made, and gone afterwards.

A marker topic tells who made them. What a killed run has left is removed at the next start with the same
prefix; topics without a marker belong to somebody else and are never touched.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from schemas import experiments, models
from schemas.experiments import Experiment
from schemas.models import ModelRelease
from schemas.topics import (
    EVENTS,
    EXPERIMENTS,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RULES,
    SESSIONS,
    TOPICS,
    Topic,
)
from schemas.unreadable import Unreadable, read
from services.files import lock
from services.kafka.admin import KafkaAdmin, require_broker
from services.kafka.clients import client_config
from services.kafka.messages import RULE, read_value
from services.kafka.ranges import HistoryReader, TopicMessage, headers_of, newest_by_key, open_reader
from services.kafka.writer import BulkWriter, open_writer
from services.ops.replay.consumer_group import Group
from services.ops.replay.sessions import of, together
from services.ops.replay.source import ReplayFailed
from services.ops.settings import OpsSettings
from services.progress import Progress
from services.settings import ServiceSettings

MARKER: Final = "shadow-run"  # the topic's name, after the prefix
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
GROUP: Final = "replay-"  # and the run's own name
PREFIX_MAX: Final = 64
ANSWER_S: Final = 15.0
GONE_S: Final = 30.0  # for deleted topics to be gone
MEMBER_S: Final = 15.0  # EDDY_SESSION_TIMEOUT_S by default, and some
AGAIN_S: Final = 0.5
FOR_EVER: Final = {"retention.ms": "-1"}


class Marker(msgspec.Struct, frozen=True):
    """Who made a shadow's topics; `started_at` is Unix ms, `group` the consumer group's full name."""

    host: str
    pid: int
    started_at: int
    group: str


_markers = msgspec.json.Decoder(Marker)


class Shadow:
    """The topics under a prefix of their own. `settings` are those of whoever works on them."""

    def __init__(self, live: OpsSettings, name: str, run: str) -> None:
        self.prefix = prefix_of(live, name)
        self.group_setting = f"{GROUP}{run}"
        self.settings = live.model_copy(update={"topic_prefix": self.prefix})
        self._live = live
        self._admin = KafkaAdmin(live, ANSWER_S)
        self._is_own = False
        self._groups = {self.group}

    @property
    def group(self) -> str:
        """The full name of the workers' consumer group: another one each run, so that no offsets are left."""
        return self.prefix + self.group_setting

    @property
    def _marker(self) -> str:
        return self.prefix + MARKER

    def make(self, now: int, *, take_over: bool) -> None:
        """Makes all topics; what a run that is over has left is removed first.

        `take_over`: also what was made on another host. Raises ReplayFailed where the prefix is somebody
        else's, BrokerAway.
        """
        with require_broker(self._live, "does not make the shadow's topics"):
            found = self._find_topics()
            if found and self._marker not in found:
                raise ReplayFailed(
                    f"there are topics that no replay made: {', '.join(sorted(found))}: "
                    "choose another --prefix"
                )
            marker = self._read_marker() if found else None
            # That nobody works on it: on this host the lock has told already.
            if marker is not None and marker.host != socket.gethostname() and not take_over:
                raise ReplayFailed(
                    f"a replay on {marker.host} (process {marker.pid}) has topics {self.prefix}…: choose "
                    "another --prefix, or, if it is over, add --yes to have them removed"
                )
            self._is_own = True
            self.remove_own(patient=False)
            # As many replicas as the live events have: a cluster may ask for several.
            events = self._admin.cluster().topics.get(self._live.topic(EVENTS))
            parts = events.partitions.values() if events else ()
            replicas = max(1, min((len(part.replicas) for part in parts), default=1))
            self._create(NewTopic(self._marker, 1, replicas, config=FOR_EVER))
            marker = Marker(socket.gethostname(), os.getpid(), now, self.group)
            with open_writer(self._live, at_once=True) as writer:
                writer.write(self._marker, None, msgspec.json.encode(marker), partition=0)
            for topic in TOPICS:
                # All that is replayed stays, however old; of sessions every state, for the cases.
                config = {"cleanup.policy": "delete"} if topic is SESSIONS else topic.config()
                name = topic.full_name(self.prefix)
                self._create(NewTopic(name, topic.partitions, replicas, config=config | FOR_EVER))
            self._fill_first()

    def remove_own(self, *, patient: bool = True) -> None:
        """Deletes the topics, then the groups that read them, and the marker last. Raises KafkaException.

        Nothing at all before it is known that the prefix is no one else's.
        """
        found = self._find_topics() if self._is_own else set()
        if not found:
            return
        marker = self._read_marker() if self._marker in found else None
        self._groups |= {marker.group} if marker else set()
        self._admin.delete_topics(found - {self._marker}, GONE_S)
        self._delete_groups(MEMBER_S if patient else 0.0)
        self._admin.delete_topics(found & {self._marker}, GONE_S)

    def _delete_groups(self, patience_s: float) -> None:
        """A stopped worker is a member of its group until its session ends: it would come back otherwise.

        A group that is still not empty then is none of a worker of ours; without offsets and members the
        broker forgets it by itself.
        """
        left = set(self._groups)
        deadline = time.monotonic() + patience_s
        while left:
            left = self._admin.delete_groups(left)
            if time.monotonic() >= deadline:
                return
            if left:
                time.sleep(AGAIN_S)

    def _find_topics(self) -> set[str]:
        """The names on the broker that a shadow of this prefix makes; longer prefixes are not its own."""
        return {name for name in self._admin.cluster().topics if is_of(name, self.prefix)}

    @retry(
        # A topic of that name was deleted just now, and not every broker knows.
        retry=retry_if_exception(
            lambda error: (
                isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
            )
        ),
        stop=stop_after_delay(GONE_S),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def _create(self, topic: NewTopic) -> None:
        if not self._admin.create_topics([topic]):
            raise KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS))

    def _fill_first(self) -> None:
        """One message a partition that no worker reads: the group goes on after it.

        Where a partition has no commit above 0, aiokafka goes back to nothing when a group is dealt out anew,
        and what Faust had read by then would be lost.
        """
        with open_writer(self.settings) as writer:
            for partition in range(EVENTS.partitions):
                writer.write(self.settings.topic(EVENTS), None, None, partition=partition)
        Group(self.settings, self.group).begin_after(1)

    def _read_marker(self) -> Marker | None:
        """None where its maker was killed before it could write."""
        consumer = Consumer(
            client_config(self._live) | {"group.id": "unused-by-a-marker", "enable.auto.commit": False}
        )
        try:
            part = TopicPartition(self._marker, 0, 0)
            low, high = consumer.get_watermark_offsets(part, timeout=ANSWER_S)
            if high <= low:
                return None
            consumer.assign([part])
            message = consumer.poll(ANSWER_S)
            value = message.value() if message is not None and message.error() is None else None
        finally:
            consumer.close()
        try:
            return read(_markers.decode, value or b"")
        except Unreadable:
            return None


def prefix_of(live: OpsSettings, name: str) -> str:
    """The shadow's own prefix. Raises ReplayFailed for a name that makes none."""
    prefix = f"{live.topic_prefix}{name}."
    if not NAME.fullmatch(name):
        raise ReplayFailed(f"--prefix takes up to 32 letters, digits, _ and -: {name!r}")
    if len(prefix) > PREFIX_MAX:
        raise ReplayFailed(
            f"the prefix {prefix} is longer than {PREFIX_MAX} characters: take a shorter --prefix"
        )
    return prefix


def is_of(name: str, prefix: str) -> bool:
    """Whether a topic's name is one that a shadow of this prefix, or its workers' table, has."""
    if name in {prefix + MARKER, *(topic.full_name(prefix) for topic in TOPICS)}:
        return True
    return re.fullmatch(rf"{re.escape(prefix)}{GROUP}[0-9a-f]+-sessions-changelog", name) is not None


@contextmanager
def lock_prefix(live: OpsSettings, prefix: str) -> Iterator[None]:
    """While the block runs, no other replay of this host uses the prefix. Raises ReplayFailed."""
    name = sha256(f"{live.kafka_bootstrap}\0{prefix}".encode()).hexdigest()[:16]
    with lock(
        live.ops_datadir / "replay-locks" / name,
        lambda holder: ReplayFailed(
            f"process {holder} replays into {prefix}… now: wait for it, or choose another --prefix"
        ),
    ):
        yield


@contextmanager
def teardown_stack() -> Iterator[ExitStack]:
    """A stack whose end no signal cuts short: Ctrl-C pressed twice leaves nothing behind either."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            stack.close()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def copy(
    live: ServiceSettings,
    shadow: ServiceSettings,
    *,
    model: tuple[str, ModelRelease | None],
    experiment: Experiment | None,
    now: int,
    progress: Progress,
) -> int:
    """Fills the shadow's topics; how many products have a vector. `model`: the line's name, its release."""
    line, release = model

    def is_in_force(message: TopicMessage) -> bool:
        rule = read_value(RULE, message)
        return rule is not None and rule.holds(now)

    with open_reader(live) as reader, open_writer(shadow) as writer:
        _newest(reader, writer, PRODUCTS, shadow, progress)
        count = _newest(reader, writer, PRODUCT_VECTORS, shadow, progress)
        _newest(reader, writer, RULES, shadow, progress, is_in_force)
        if release is not None:
            writer.write(shadow.topic(MODELS), line.encode(), models.encode(release))
        if experiment is not None:
            key = experiment.name.encode()
            writer.write(shadow.topic(EXPERIMENTS), key, experiments.encode(experiment))
    return count


def _newest(  # noqa: PLR0917 - from where, to where, of what
    reader: HistoryReader,
    writer: BulkWriter,
    topic: Topic,
    shadow: ServiceSettings,
    progress: Progress,
    keep: Callable[[TopicMessage], bool] = lambda _message: True,
) -> int:
    """Copies the newest message of each key; how many. Of a large topic one partition is held in memory."""
    spans, count, name = reader.spans(topic), 0, shadow.topic(topic)
    progress.stage(f"copying {topic.name}", sum(map(len, spans)))
    for partitions in together(spans):
        newest = newest_by_key(reader, of(spans, partitions), lambda message: message, progress)
        for message in filter(keep, newest.values()):
            writer.write(name, message.key(), message.value(), headers=headers_of(message))
            count += 1
    return count
