"""Every metric of the recommender."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.live import Fallback
from schemas.topics import (
    ERASURES,
    EXPERIMENTS,
    IDENTITIES,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RULES,
    SESSIONS,
)
from services.label_values import LIMITS, STATUSES, begin_at_zero
from services.version import describe_build

_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters and timings of one recommender, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_build(self.registry)
        # The promise: from ingest's acceptance of an event to its push.
        self.accepted_to_pushed = Histogram(
            "eddy_recommender_accepted_to_pushed_seconds",
            "Time from ingest's acceptance of an event to the push that it caused",
            buckets=_S,
            registry=self.registry,
        )
        self.compute = Histogram(
            "eddy_recommender_compute_seconds", "Time to make one row", buckets=_S, registry=self.registry
        )
        self.sockets = Gauge("eddy_recommender_sockets", "Open live sockets", registry=self.registry)
        self.pushes = Counter("eddy_recommender_pushes_total", "Rows pushed", registry=self.registry)
        # A session that was replaced by a newer one before its row was made.
        self.coalesced = Counter(
            "eddy_recommender_coalesced_total",
            "Pushes saved because newer state came",
            registry=self.registry,
        )
        # Slots that several sockets of a visitor ask for alike are computed and recorded once.
        self.shared = Counter(
            "eddy_recommender_shared_rows_total",
            "Rows taken over from another socket of the same visitor",
            registry=self.registry,
        )
        self.slow_readers = Counter(
            "eddy_recommender_slow_readers_total",
            "Sockets aborted because their client took no data",
            registry=self.registry,
        )
        # Each row made without the index, out of what is popular.
        self.index_away = Counter(
            "eddy_recommender_index_away_total",
            "Rows made while the vector index did not answer",
            registry=self.registry,
        )
        # Where it is not 0 for minutes the server's payload indexes are broken, or it lacks changes.
        self.index_count_difference = Gauge(
            "eddy_recommender_index_count_difference",
            "Products in stock that a filter on the Qdrant server finds, less those of the topics",
            registry=self.registry,
        )
        self.explored = Counter(
            "eddy_recommender_explored_total",
            "Products that chance put into their places",
            registry=self.registry,
        )
        # 1 for the version that serves of each line of releases; no sample while none does.
        self.model_served = Gauge(
            "eddy_recommender_model_served",
            "The model that serves",
            ["model", "version"],
            registry=self.registry,
        )
        self.live_visits = Gauge(
            "eddy_recommender_live_visits",
            "Visits since the model's learning that count already",
            registry=self.registry,
        )
        self.model_swaps = Counter(
            "eddy_recommender_model_swaps_total", "Changes of the model that serves", registry=self.registry
        )
        # A release that will never serve: its log line names the file. What served before goes on.
        self.model_refused = Counter(
            "eddy_recommender_model_refused_total",
            "Releases refused because they are broken or made for other code",
            registry=self.registry,
        )
        # A release that may still serve: it is asked for again and again.
        self.model_store_away = Counter(
            "eddy_recommender_model_store_away_total",
            "Attempts at a release that its store did not give",
            registry=self.registry,
        )
        # Rows recorded on `recommendations`, and those whose record Kafka did not take.
        self.impressions = Counter(
            "eddy_recommender_impressions_total", "Rows recorded", registry=self.registry
        )
        self.impressions_lost = Counter(
            "eddy_recommender_impressions_lost_total",
            "Rows shown whose record Kafka did not take",
            registry=self.registry,
        )
        # Of the rows recorded. slot: its name, "other" beyond the first 32 names; model: the version of
        # behaviour that served, or none; fallback: as answers name it, or none.
        self.rows = Counter(
            "eddy_recommender_rows_total",
            "Rows shown, by slot, model and fallback",
            ["slot", "model", "fallback"],
            registry=self.registry,
        )
        # The first click into each row within 30 minutes, counted by the recommender that made the row.
        self.rows_clicked = Counter(
            "eddy_recommender_rows_clicked_total",
            "Rows that somebody clicked into, by slot and model",
            ["slot", "model"],
            registry=self.registry,
        )
        self.products_shown = Gauge(
            "eddy_recommender_products_shown",
            "Distinct products in the rows of one hour, up to the newest row",
            registry=self.registry,
        )
        # reason: as answers name it; a row that is not what was asked for.
        self.fallbacks = Counter(
            "eddy_recommender_fallbacks_total", "Rows by fallback", ["reason"], registry=self.registry
        )
        self.joined = Gauge(
            "eddy_recommender_joined_visitors",
            "Visitors who turned out to be a user",
            registry=self.registry,
        )
        # More claims to be one user than a person may have visitors: a bot, or an id that means nobody.
        self.joins_left_out = Gauge(
            "eddy_recommender_joins_left_out",
            "Visitors beyond EDDY_PERSON_VISITORS_MAX of their user, who count by themselves",
            registry=self.registry,
        )
        self.words_away = Counter(
            "eddy_recommender_words_away_total",
            "Searches whose words got no vectors from the embedder",
            registry=self.registry,
        )
        self.words = Histogram(
            "eddy_recommender_words_seconds",
            "Time that the embedder took for the words of a search",
            buckets=_S,
            registry=self.registry,
        )
        # by: parser, or model (the language model of EDDY_NLQ_URL).
        self.understood = Counter(
            "eddy_recommender_understood_total",
            "Searches understood, and by what",
            ["by"],
            registry=self.registry,
        )
        self.products = Gauge(
            "eddy_recommender_products", "Products in the catalogue", registry=self.registry
        )
        # With it a restart reads only what has changed since.
        self.snapshot_at = Gauge(
            "eddy_recommender_snapshot_timestamp_seconds",
            "When the newest copy of the products was made, Unix time; 0 for none",
            registry=self.registry,
        )
        # Once a minute; with EDDY_QDRANT_URL the index is elsewhere.
        self.disk = Gauge(
            "eddy_recommender_disk_bytes",
            "What this process's index and copies of the products take on disk",
            registry=self.registry,
        )
        self.indexed = Gauge("eddy_recommender_indexed", "Products with a vector", registry=self.registry)
        self.beside_graph = Gauge(
            "eddy_recommender_beside_graph",
            "Products of the embedded index that were written since its graph was built",
            registry=self.registry,
        )
        self.sessions = Gauge("eddy_recommender_sessions", "Sessions held", registry=self.registry)
        self.sessions_bytes = Gauge(
            "eddy_recommender_sessions_bytes", "Memory that the sessions take", registry=self.registry
        )
        # rank: once (one event), several, buyer (a purchase), open (a page is open); in this order they go.
        self.sessions_evicted = Counter(
            "eddy_recommender_sessions_evicted_total",
            "Visitors forgotten because memory is bounded",
            ["rank"],
            registry=self.registry,
        )
        # limit: token, events, key, address, new_visitors, tenant_sockets, tenant_searches (answered 429);
        # header_bytes, body_bytes, slow_headers, slow_body, malformed, connections (before there was a
        # request); sockets (a visitor's).
        self.refused = Counter(
            "eddy_recommender_refused_total",
            "Requests and connections refused by a limit",
            ["limit"],
            registry=self.registry,
        )
        self.problems = Counter(
            "eddy_recommender_problems_total", "HTTP errors answered", ["status"], registry=self.registry
        )
        # By topic: what has no dead letter of this service; its log says where one lies, and why.
        self.unreadable = Counter(
            "eddy_recommender_unreadable_total",
            "Messages left out because they cannot be read",
            ["topic"],
            registry=self.registry,
        )
        begin_at_zero(self.fallbacks, get_args(Fallback))
        begin_at_zero(self.understood, ("parser", "model"))
        begin_at_zero(self.sessions_evicted, ("once", "several", "buyer", "open"))
        begin_at_zero(self.refused, (*LIMITS, "sockets"))
        begin_at_zero(self.problems, STATUSES)
        read = (PRODUCTS, PRODUCT_VECTORS, ERASURES, IDENTITIES, SESSIONS, RULES, EXPERIMENTS, MODELS)
        begin_at_zero(self.unreadable, (topic.name for topic in read))
