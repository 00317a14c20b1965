"""Every metric of the session processor."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.topics import ERASURES, PRODUCT_VECTORS
from services.label_values import begin_at_zero
from services.version import describe_build

_MS = (
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)


class Metrics:
    """Counters and timings of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_build(self.registry)
        # news: changed the session; known: a duplicate or older than the newest 64; no_signal: a type without
        # a weight; dead: went to events.dlq; erased: of before its visitor's erasure; moved: put where its
        # key belongs, from where it did before `events` got more partitions.
        self.events = Counter(
            "eddy_session_processor_events_total", "Events taken", ["outcome"], registry=self.registry
        )
        # From ingest's acceptance to the session computed: the first half of a click's way.
        self.accepted_to_folded = Histogram(
            "eddy_session_processor_accepted_to_folded_seconds",
            "Time from ingest's acceptance to the folded session",
            buckets=_MS,
            registry=self.registry,
        )
        self.fold = Histogram(
            "eddy_session_processor_fold_seconds", "Time of one fold", buckets=_MS, registry=self.registry
        )
        # From the fold until the broker has both the table's change and the session.
        self.acknowledged = Histogram(
            "eddy_session_processor_acknowledged_seconds",
            "Time from the fold until the broker has its results",
            buckets=_MS,
            registry=self.registry,
        )
        self.products = Gauge(
            "eddy_session_processor_products", "Products in the vector replica", registry=self.registry
        )
        # Looked at every few seconds, as stalled_partitions is.
        self.unread = Gauge(
            "eddy_session_processor_unread_events",
            "Events of owned partitions that are not read yet",
            registry=self.registry,
        )
        self.stalled = Gauge(
            "eddy_session_processor_stalled_partitions",
            "Owned partitions that have unread events and stand still",
            registry=self.registry,
        )
        self.waiting = Gauge(
            "eddy_session_processor_waiting_products",
            "Products seen in events that have no vector yet",
            registry=self.registry,
        )
        self.joined = Counter(
            "eddy_session_processor_joined_total",
            "Sessions computed again because a missing product got its vector",
            registry=self.registry,
        )
        self.table_bytes = Gauge(
            "eddy_session_processor_table_bytes",
            "Memory that the sessions of this worker take",
            registry=self.registry,
        )
        # rank: once (one event), several, buyer (a purchase); in this order they go.
        self.evicted = Counter(
            "eddy_session_processor_evicted_total",
            "Visitors forgotten because memory is bounded",
            ["rank"],
            registry=self.registry,
        )
        self.expired = Counter(
            "eddy_session_processor_expired_total",
            "Visitors forgotten because they were idle for too long",
            registry=self.registry,
        )
        self.erased = Counter(
            "eddy_session_processor_erased_total",
            "Erasures carried out on visitors of this worker",
            registry=self.registry,
        )
        # By topic: what has no dead letter of this service; its log says where one lies, and why.
        self.unreadable = Counter(
            "eddy_session_processor_unreadable_total",
            "Messages left out because they cannot be read",
            ["topic"],
            registry=self.registry,
        )
        # The 1st, 10th, 100th … of identical ones have a letter, which says for how many it stands.
        self.repeated = Counter(
            "eddy_session_processor_repeated_refusals_total",
            "Refusals that have no dead letter of their own because identical ones have",
            registry=self.registry,
        )
        begin_at_zero(self.events, ("news", "known", "no_signal", "dead", "erased", "moved"))
        begin_at_zero(self.evicted, ("once", "several", "buyer"))
        begin_at_zero(self.unreadable, (PRODUCT_VECTORS.name, ERASURES.name))
