"""Every metric of the ingest service."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.label_values import LIMITS, STATUSES, begin_at_zero
from services.version import describe_build

_SECONDS: Final = (
    0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02,
    0.03, 0.05, 0.1, 0.25, 0.5, 1, 2,
)  # fmt: skip
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 2500)


class Metrics:
    """Counters and timings of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_build(self.registry)
        # Counted when Kafka has acknowledged them.
        self.events_accepted = Counter(
            "eddy_ingest_events_accepted_total", "Events that were taken", registry=self.registry
        )
        # kind: size (over 32 KB), decode (not JSON), validate (not an event, or makes no sense),
        # visitor (of another visitor than the token's), body (a whole body that could not be read),
        # broker (Kafka refuses it for good).
        self.events_rejected = Counter(
            "eddy_ingest_events_rejected_total",
            "Events that went to events.dlq",
            ["kind"],
            registry=self.registry,
        )
        # Their senders send them again, so one event may be turned away several times.
        self.events_turned_away = Counter(
            "eddy_ingest_events_turned_away_total",
            "Events in requests answered 503, because Kafka did not take them",
            registry=self.registry,
        )
        # kind: track (an event that has nothing to do with products), page, screen, group, or identify and
        # alias that name only one side.
        self.messages_ignored = Counter(
            "eddy_ingest_segment_ignored_total",
            "Segment messages that were taken and say nothing to a recommender",
            ["kind"],
            registry=self.registry,
        )
        self.identities_written = Counter(
            "eddy_ingest_identities_written_total",
            "Joins of a visitor and a user put on identities",
            registry=self.registry,
        )
        # how: back_end (the API key was shown), signature (traits.user_hash is right), wrong_signature, none;
        # the last two are claims.
        self.identity_proofs = Counter(
            "eddy_ingest_identity_proofs_total",
            "What proved that a visitor is the user that a message names",
            ["how"],
            registry=self.registry,
        )
        self.products_accepted = Counter(
            "eddy_ingest_products_accepted_total", "Products taken", registry=self.registry
        )
        self.products_rejected = Counter(
            "eddy_ingest_products_rejected_total", "Products refused", ["kind"], registry=self.registry
        )
        self.products_deleted = Counter(
            "eddy_ingest_products_deleted_total", "Tombstones written", registry=self.registry
        )
        # Of joins only those that name another user than the newer one does.
        self.facts_outdated = Counter(
            "eddy_ingest_facts_outdated_total",
            "Products, deletions and joins that were ignored: older than what is there",
            ["topic"],
            registry=self.registry,
        )
        # Two ingest processes wrote one key at the same time, or another producer wrote an older fact.
        self.facts_mended = Counter(
            "eddy_ingest_facts_mended_total",
            "Facts written again, because an older one lay behind them on a compacted topic",
            ["topic"],
            registry=self.registry,
        )
        self.batch_events = Histogram(
            "eddy_ingest_batch_events", "Events in one POST", buckets=_SIZES, registry=self.registry
        )
        # The wait for Kafka within one request; what remains of its time is ours.
        self.acknowledged = Histogram(
            "eddy_ingest_acknowledged_seconds",
            "Time from handing a request's messages to the producer until Kafka has them all",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # how: new, renewed, or named (a back end asked for a visitor of its choice).
        self.tokens = Counter(
            "eddy_ingest_tokens_total", "Visitor tokens issued", ["how"], registry=self.registry
        )
        self.visitors_erased = Counter(
            "eddy_ingest_visitors_erased_total", "Visitors that are to be forgotten", registry=self.registry
        )
        # limit: token, events, key, address, new_visitors, tenant_events (answered 429);
        # header_bytes, body_bytes, slow_headers, slow_body, malformed, connections (before there was a
        # request).
        self.refused = Counter(
            "eddy_ingest_refused_total",
            "Requests and connections refused by a limit",
            ["limit"],
            registry=self.registry,
        )
        self.problems = Counter(
            "eddy_ingest_problems_total",
            "Requests answered with an error",
            ["status"],
            registry=self.registry,
        )
        # The 1st, 10th, 100th … of identical ones have a letter, which says for how many it stands.
        self.repeated = Counter(
            "eddy_ingest_repeated_refusals_total",
            "Refusals that have no dead letter of their own because identical ones have",
            registry=self.registry,
        )
        begin_at_zero(self.events_rejected, ("size", "decode", "validate", "visitor", "body", "broker"))
        begin_at_zero(self.products_rejected, ("size", "decode", "validate", "broker"))
        begin_at_zero(self.refused, LIMITS)
        begin_at_zero(self.problems, STATUSES)
