"""Every metric of the embedder."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.topics import PRODUCT_VECTORS
from services.label_values import begin_at_zero
from services.version import describe_build

_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip


class Metrics:
    """Counters and timings of one embedder, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_build(self.registry)
        # outcome: published (with all its segments), interim (with its newest fields, while a segment is made
        # anew), unchanged (nothing to say), older (a newer one is known), removed (a tombstone), dead.
        self.products = Counter(
            "eddy_embedder_products_total", "Messages dealt with", ["outcome"], registry=self.registry
        )
        # What the models made; what a hash showed to be still right is not counted.
        self.segments = Counter(
            "eddy_embedder_segments_total",
            "Segments that a model made",
            ["segment"],
            registry=self.registry,
        )
        # Products that are published without a picture, though they name one.
        self.pictures_refused = Counter(
            "eddy_embedder_pictures_refused_total",
            "Pictures that could not be had",
            ["kind"],
            registry=self.registry,
        )
        # Pictures whose host was away are tried again by themselves. outcome: had, refused.
        self.pictures_retried = Counter(
            "eddy_embedder_pictures_retried_total",
            "Pictures tried again because their host was away",
            ["outcome"],
            registry=self.registry,
        )
        self.pictures_to_retry = Gauge(
            "eddy_embedder_pictures_to_retry",
            "Pictures that are still to be tried again",
            registry=self.registry,
        )
        # stage: decode, picture, publish (Kafka refuses the vectors for good).
        self.dead_letters = Counter(
            "eddy_embedder_dead_letters_total",
            "Messages to products.dlq",
            ["stage"],
            registry=self.registry,
        )
        # stage: fetch (one picture over the network), prepare (decode and scale one), text, caption and image
        # (one batch of the model), qdrant (one batch).
        self.stage_seconds = Histogram(
            "eddy_embedder_stage_seconds",
            "Time by stage",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        # From handing over a message's vectors or dead letter until the broker (and Qdrant) has them.
        self.acknowledged = Histogram(
            "eddy_embedder_acknowledged_seconds",
            "Time until what was handed over is acknowledged",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # what: missing, stale (written otherwise than the topic has it), surplus (gone from the topic).
        self.repaired = Counter(
            "eddy_embedder_qdrant_repaired_total",
            "Products that a Qdrant server was found to have otherwise than product-vectors",
            ["what"],
            registry=self.registry,
        )
        self.known = Gauge(
            "eddy_embedder_products_known", "Products that have vectors", registry=self.registry
        )
        self.waiting = Gauge(
            "eddy_embedder_products_waiting", "Products that wait for a model", registry=self.registry
        )
        self.unfinished = Gauge(
            "eddy_embedder_messages_unfinished",
            "Messages read whose effects are not acknowledged",
            registry=self.registry,
        )
        # Words of shoppers, which the recommender asks for: not what products say.
        self.words = Counter(
            "eddy_embedder_words_total", "Texts encoded for POST /v1/words", registry=self.registry
        )
        # One request from its last byte to its answer; waiting for other requests is part of it.
        self.words_seconds = Histogram(
            "eddy_embedder_words_seconds",
            "Time to answer POST /v1/words",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # By topic: what has no dead letter of this service; its log says where one lies, and why.
        self.unreadable = Counter(
            "eddy_embedder_unreadable_total",
            "Messages left out because they cannot be read",
            ["topic"],
            registry=self.registry,
        )
        # The 1st, 10th, 100th … of identical ones have a letter, which says for how many it stands.
        self.repeated = Counter(
            "eddy_embedder_repeated_refusals_total",
            "Refusals that have no dead letter of their own because identical ones have",
            registry=self.registry,
        )
        begin_at_zero(self.products, ("published", "interim", "unchanged", "older", "removed", "dead"))
        begin_at_zero(self.pictures_retried, ("had", "refused"))
        begin_at_zero(self.dead_letters, ("decode", "picture", "publish"))
        begin_at_zero(self.stage_seconds, ("fetch", "prepare", "text", "caption", "image", "qdrant"))
        begin_at_zero(self.repaired, ("missing", "stale", "surplus"))
        begin_at_zero(self.unreadable, (PRODUCT_VECTORS.name,))
