"""The only place that builds the session processor's clients: Faust, vector replica, health endpoints."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import faust
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage
from faust.transport.consumer import Consumer as FaustConsumer
from faust.types import TP, StreamT

from schemas.topics import (
    COMPACTION,
    ERASURES,
    EVENTS,
    EVENTS_DLQ,
    PRODUCT_VECTORS,
    SESSIONS,
    Topic,
    durability,
)
from services.kafka.admin import LATEST, KafkaAdmin
from services.kafka.clients import (
    AcknowledgedProducer,
    TopicMissing,
    TopicReader,
    client_config,
    producer_config,
)
from services.kafka.messages import MessageReader, vectors_of
from services.kafka.ranges import Span, holds_messages
from services.kafka.topic_watch import TopicChanged, TopicShape, TopicWatch
from services.session_processor import record_batches
from services.session_processor.batches import is_current, pop_waiting
from services.session_processor.commit_order import PartitionOrder, SkippedEvents
from services.session_processor.consumer import RewindingApp
from services.session_processor.metrics import Metrics
from services.session_processor.processor import Message, SessionProcessor
from services.session_processor.recovery import read_with
from services.session_processor.settings import SessionProcessorSettings
from services.session_processor.stalls import StalledPartition, StallWatch
from services.session_processor.table import SessionTable
from services.tracing.tracers import create_tracer
from services.vector_replica import VectorReplica
from services.version import CLIENT_ID
from services.web.health import HealthServer

log = structlog.get_logger()

DELIVERY_TIMEOUT_MS: Final = 120_000  # a broker may be restarted meanwhile
LOOK_S: Final = 1.0
ENDS_WITHIN_S: Final = 5.0
BATCH: Final = 64  # events that are taken in one go, and whose sessions leave together
EX_SOFTWARE = 70  # sysexits.h: an internal error; the supervisor starts the worker again


def create_app(settings: SessionProcessorSettings) -> "SessionWorker":
    """A worker, wired but not started. Call it in the event loop that will run it."""
    return SessionWorker(settings)


def faust_app(settings: SessionProcessorSettings) -> RewindingApp:
    """Faust as measured fastest here (DESIGN §9); bytes in, bytes out, the codecs are ours."""
    record_batches.install()
    brokers = ";".join(f"kafka://{host.strip()}" for host in settings.kafka_bootstrap.split(","))
    app = RewindingApp(
        settings.topic_prefix + settings.session_processor_group,
        broker=brokers,
        broker_client_id=CLIENT_ID,
        broker_credentials=credentials(settings),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 4,
        broker_commit_interval=1.0,
        consumer_group_instance_id=settings.instance,
        consumer_auto_offset_reset="earliest",
        datadir=str(settings.datadir),
        key_serializer="raw",
        value_serializer="raw",
        producer_linger=0.002,
        store="memory://",
        TableManager=read_with(client_config(settings)),
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_partitions=EVENTS.partitions,
        topic_replication_factor=settings.changelog_replicas,
        web_enabled=False,
    )
    app.leaves_group = settings.session_processor_leaves
    return app


def credentials(settings: SessionProcessorSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """The connection settings of librdkafka, said Faust's way."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    ssl = faust.SSLCredentials(cafile=settings.kafka_ca_file) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return ssl
    assert settings.kafka_password is not None  # the settings' validator has seen to it
    return faust.SASLCredentials(
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=ssl.context if ssl else None,
        mechanism=settings.kafka_sasl_mechanism,
    )


def pass_over_committed(order: PartitionOrder, topic: str, begins: Mapping[TP, int]) -> None:
    """Faust goes back again after `recover` has seen where to. What was under way when the partitions were
    dealt out may be acknowledged and committed in between: that it does not come is no gap."""
    for partition, offset in of_topic(topic, begins).items():
        order.skip(partition, offset)


def of_topic(topic: str, offsets: Mapping[TP, int]) -> dict[int, int]:
    """Partition of this topic → its offset."""
    return {each.partition: offset for each, offset in offsets.items() if each.topic == topic}


class SessionWorker:
    """One worker of the consumer group: replica first, then events."""

    def __init__(self, settings: SessionProcessorSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._recovered = False
        self._stalls = StallWatch()
        self._watch = TopicWatch(client_config(settings), [settings.topic(EVENTS)])
        self._admin = KafkaAdmin(settings, ENDS_WITHIN_S)
        self._shape: TopicShape | None = None
        self._is_gone = False
        self.metrics = Metrics()
        self.replica = VectorReplica(settings.layout)
        self._vectors, self._messages = vectors_of(settings.layout), MessageReader(self.metrics.unreadable)
        self.faust = faust_app(settings)
        self._reader = self._reads(PRODUCT_VECTORS, self._apply)
        # A reader of its own: a catalogue that is being loaded is nothing that an erasure has to wait for.
        self._erasures = self._reads(ERASURES, self._erase)
        self._health = HealthServer(
            "session_processor",
            settings.session_processor_host,
            settings.session_processor_port,
            {settings.tenant: self.metrics.registry},
            self.waiting_for,
        )
        # Not Faust's: this one is idempotent, so that a retry neither repeats nor reorders sessions.
        self._producer = AcknowledgedProducer(
            producer_config(settings, linger_ms=0, timeout_ms=DELIVERY_TIMEOUT_MS), on_fatal=self._fatal
        )
        self._tracer = create_tracer(settings, "session_processor")
        self._folder = self._wire()

    def _reads(self, topic: Topic, apply: Callable[[list[KafkaMessage]], None]) -> TopicReader:
        """A reader of a whole topic, whose messages are applied in the loop: no fold sees half a change."""

        def hand_over(messages: list[KafkaMessage]) -> None:
            self._loop.call_soon_threadsafe(apply, messages)

        return TopicReader(
            client_config(self._settings), [self._settings.topic(topic)], hand_over, self._crash
        )

    def _wire(self) -> SessionProcessor:
        """Declares topics, table and agent of this Faust app."""
        settings = self._settings
        table = self.faust.Table(
            "sessions",
            key_type=bytes,
            value_type=bytes,
            partitions=EVENTS.partitions,
            extra_topic_configs=COMPACTION | durability(settings.changelog_replicas, settings.topic_min_isr),
            on_recover=self._on_recover,
        )
        folder = SessionProcessor(
            table=SessionTable(table),
            producer=self._producer,
            published=settings.topic(SESSIONS),
            dead_letters=settings.topic(EVENTS_DLQ),
            vectors=self.replica,
            layout=settings.layout,
            tuning=settings.tuning,
            bad_in_a_row_max=settings.bad_events_in_a_row,
            metrics=self.metrics,
            crash=self._crash,
            table_bytes_max=settings.session_table_mb << 20,
            tracer=self._tracer,
        )

        async def fold_events(stream: StreamT[bytes]) -> None:
            unacknowledged = cast(faust.Stream[bytes], stream).noack()
            events: AsyncIterator[Message] = unacknowledged.events()
            try:
                async for message in events:
                    await self._take(
                        folder, deque([message, *pop_waiting(self.faust, unacknowledged, BATCH - 1)])
                    )
                    # A full queue would never give the broker's answers a turn.
                    await (folder.wait_for_room() if folder.is_behind else asyncio.sleep(0))
            except Exception as error:
                self._crash(error)
                raise

        async def let_go(*_: object, **__: object) -> None:
            await folder.settle()

        async def stay(*told: Any, **__: object) -> None:  # noqa: ANN401 - Faust's: the app, the partitions
            events = settings.topic(EVENTS)
            folder.stay({each.partition for each in told[-1] if each.topic == events})

        self.faust.on_partitions_assigned.connect(stay, weak=False)
        self.faust.on_rewind = partial(pass_over_committed, folder.order, settings.topic(EVENTS))
        self.faust.on_partitions_revoked.connect(let_go, weak=False)
        self.faust.agent(self.faust.topic(settings.topic(EVENTS)), name="fold_events")(fold_events)
        return folder

    async def _take(self, folder: SessionProcessor, messages: deque[Message]) -> None:
        while messages:
            try:
                folder.take_all(messages)
            except SkippedEvents as gap:
                span = Span(self._settings.topic(EVENTS), gap.partition, gap.expected, gap.found)
                if await asyncio.to_thread(holds_messages, self._settings, span):
                    raise
                # Nothing but the marks of a producer's transactions, or what retention has just deleted.
                folder.order.skip(gap.partition, gap.found)
                if not is_current(self.faust, messages[0]):
                    return  # the partitions were dealt out meanwhile: who has them now reads them again

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Whatever else ends it ends the process, uncommitted work and all."""
        # Faust and aiokafka tell every rebalance in dozens of lines; their warnings are what operators need.
        for library in ("faust", "mode", "aiokafka"):
            logging.getLogger(library).setLevel(logging.WARNING)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._begin_stop)
        self._health.start()
        self._reader.start()
        self._erasures.start()
        caught_up = asyncio.create_task(asyncio.to_thread(self._wait_until_caught_up))
        await asyncio.wait(
            [caught_up, asyncio.create_task(self._stopping.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        if not self._stopping.is_set():
            log.info("product vectors caught up", products=len(self.replica))
            await asyncio.to_thread(self._fit_changelog)
            # Faust makes the last of its folders only.
            self.faust.conf.datadir.mkdir(parents=True, exist_ok=True)
            await self.faust.start()
            watching = asyncio.create_task(self._watch_partitions())
            if await self.faust.wait_for_stopped(self._stopping.wait()):
                self._crash(self.faust.crash_reason or RuntimeError("Faust stopped by itself"))
            watching.cancel()
            await self._folder.settle()
            await self.faust.stop()
            await asyncio.to_thread(self._producer.close)
        self._reader.stop()
        self._erasures.stop()
        self._health.stop()
        await asyncio.to_thread(self._tracer.close)

    def _fit_changelog(self) -> None:
        """As many partitions as `events` has: else Faust deals the two out apart, and events come to a worker
        that has not got their sessions."""
        events, changelog = self._settings.topic(EVENTS), self._folder.changelog
        shapes = TopicWatch(client_config(self._settings), [events, changelog]).ask()
        shape, of_changelog = shapes[events], shapes[changelog]
        if shape is None:
            raise TopicMissing(events)
        self._shape = shape
        self._folder.set_partitions(shape.partitions)
        if of_changelog is not None and of_changelog.partitions < shape.partitions:
            log.warning("events has more partitions than its sessions, which get them now", topic=changelog)
            KafkaAdmin(self._settings).add_partitions(changelog, shape.partitions)

    def _begin_stop(self) -> None:
        """Readiness turns before anything else."""
        self._health.begin_stop()
        self._stopping.set()

    def _wait_until_caught_up(self) -> None:
        self._erasures.wait_until_caught_up()
        self._reader.wait_until_caught_up()

    def waiting_for(self) -> str | None:
        """What keeps this worker from folding events."""
        reasons = (
            ("product vectors", not self._reader.caught_up),
            ("erasures", not self._erasures.caught_up),
            ("its partitions and their sessions", not self._recovered),
            ("the topic events, which is gone", self._is_gone),
            ("its partitions, which its group deals out", self.faust.rebalancing),
        )
        waiting = next((what for what, holds in reasons if holds), None)
        if waiting is not None:
            return waiting
        still = (each for each, seconds in self._stalls.still.items() if seconds >= self._settings.stall_s)
        return next(
            (f"partition {each} of events, which has unread ones and stands still" for each in still), None
        )

    async def _watch_partitions(self) -> None:
        """Looks whether what is unread is read, for ever. Whatever holds a worker, it does not say ready."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._look_at_topic()
            if not self._recovered or self.faust.rebalancing:
                self._stalls.reset()
                continue
            try:
                await self._look_for_stalls()
            except KafkaException as error:  # the broker is away: nothing is expected to move
                self._stalls.reset()
                log.warning("the ends of the partitions are not known", error=error.args[0].str())
            except Exception as error:  # noqa: BLE001 - a watch that has ended watches nothing
                self._crash(error)

    def _look_at_topic(self) -> None:
        """Faust takes an `events` that was made anew for the old one: only a new start reads it."""
        found = self._watch.look()
        if found is None:
            return
        [(name, shape)] = found.items()
        self._is_gone = shape is None
        if shape is None:
            return
        before, self._shape = self._shape, shape
        if before is not None and before != shape:
            self._crash(TopicChanged(name, before, shape))

    def _ends(self, parts: Sequence[TP]) -> dict[int, int]:
        """Partition of `events` → its end. Asked by a client of our own: Faust's asks in the one thread that
        also reads, and when its client has lost the broker, nothing is read while it waits for 90 s."""
        asked = [TopicPartition(each.topic, each.partition) for each in parts]
        found = self._admin.offsets(asked, LATEST) if asked else {}
        return {part.partition: end.offset for part, end in found.items()}

    async def _look_for_stalls(self) -> None:
        consumer, events = cast(FaustConsumer, self.faust.consumer), self._settings.topic(EVENTS)
        owned = [each for each in consumer.assignment() if each.topic == events]
        ends, order = await asyncio.to_thread(self._ends, owned), self._folder.order
        self._stalls.look(ends, order.next_offsets, time.monotonic())
        places = order.next_offsets
        self.metrics.unread.set(sum(max(end - places.get(each, end), 0) for each, end in ends.items()))
        self.metrics.stalled.set(sum(s >= self._settings.stall_s for s in self._stalls.still.values()))
        for partition, seconds in self._stalls.still.items():
            # What waits for the broker's word comes to its own end.
            if seconds < 3 * self._settings.stall_s or order.has_pending(partition):
                continue
            place, end = order.next_offsets[partition], ends[partition]
            if await asyncio.to_thread(holds_messages, self._settings, Span(events, partition, place, end)):
                self._crash(StalledPartition(partition, place, end, seconds))
            order.skip(partition, end)

    def _apply(self, messages: Sequence[KafkaMessage]) -> None:
        try:
            for message in messages:
                read = self._messages.read(self._vectors, message)
                if read is not None and self.replica.apply(read.key, read.value) and self._recovered:
                    self._folder.join(read.key, self._owns)
        except Exception as error:  # noqa: BLE001 - a replica that stands still would give wrong sessions
            self._crash(error)
        self.metrics.products.set(len(self.replica))

    def _erase(self, messages: Sequence[KafkaMessage]) -> None:
        try:
            for message in messages:
                self._folder.erase(message, self._owns if self._recovered else None)
        except Exception as error:  # noqa: BLE001 - an erasure that is not carried out must not pass unseen
            self._crash(error)

    def _owns(self, partition: int) -> bool:
        return TP(self._settings.topic(EVENTS), partition) in self.faust.consumer.assignment()

    async def _on_recover(self) -> None:
        # Faust now lets events in and after that empties the agent's queue: what came in between would be
        # lost. Held back here, they come when Faust resumes the flow, from the committed offsets on.
        self.faust.consumer.stop_flow()
        self.faust.flow_control.suspend()
        self._folder.recover(await self._next_offsets())
        self._recovered = True
        gc.collect()
        gc.freeze()  # what was recovered stays: a full collection over it would be felt

    async def _next_offsets(self) -> dict[int, int]:
        """Where each owned partition of `events` goes on, in this worker's life or after another's."""
        consumer = cast(FaustConsumer, self.faust.consumer)
        found = await consumer.seek_to_committed() if consumer.assignment() else {}
        return of_topic(self._settings.topic(EVENTS), found)

    def _fatal(self, error: KafkaError) -> None:
        self._crash(KafkaException(error))

    def _crash(self, error: BaseException) -> None:
        """Ends the process where it stands: unacknowledged work is not committed, so it is done again."""
        if self._stopping.is_set():
            return
        log.critical("session processor ends, unfinished events will be read again", error=str(error))
        os._exit(EX_SOFTWARE)
