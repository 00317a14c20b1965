"""The one list of Kafka topics: name, key, message, partitions, cleanup, producers and consumers."""

from dataclasses import dataclass
from typing import Final, Literal

from schemas.times import DAY_MS

DEAD_LETTER_BYTES: Final = 256 * 1024 * 1024  # compressed: some million letters

# Small segments let a restarted reader replay little more than the live keys, and what was erased is gone for
# good within so long.
COMPACTION: Final = {
    "segment.ms": str(60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(DAY_MS),
}

# A tombstone says since when its key is gone, and as long as it lies there what is older stays away, such as
# a backup that is loaded years later. It costs about 100 bytes a deleted key.
TOMBSTONES_MS: Final = 3650 * DAY_MS


MIN_IN_SYNC: Final = "min.insync.replicas"


def durability(replicas: int, in_sync: int | None = None) -> dict[str, str]:
    """What makes an acknowledged message outlive a broker: two replicas have it, where there are three.

    With less, one broker away would stop all. `in_sync` is what somebody has set instead; more than there are
    replicas would stop all at once.
    """
    needed = (2 if replicas >= 3 else 1) if in_sync is None else min(in_sync, replicas)
    return {MIN_IN_SYNC: str(needed)} if needed > 1 or in_sync is not None else {}


Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as `python -m services.ops topics create` makes it.

    `retention_ms` and `retention_bytes` are None where the broker's own default holds; `message` names the
    struct in `schemas`.
    """

    name: str
    key: str
    message: str
    encoding: Literal["json", "msgpack", "raw"]
    partitions: int
    cleanup: Cleanup
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    retention_ms: int | None = None
    retention_bytes: int | None = None  # a partition; what is older goes when there is more

    def full_name(self, prefix: str) -> str:
        """The name on the broker; a shadow run or a second tenant lives beside the first by its prefix."""
        return prefix + self.name

    def config(self) -> dict[str, str]:
        """Broker-side topic settings, as Kafka names them."""
        config: dict[str, str] = {"cleanup.policy": self.cleanup}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if self.retention_bytes is not None:
            # Whole segments go, and never the one that is written to: small ones keep the bound.
            config |= {
                "retention.bytes": str(self.retention_bytes),
                "segment.bytes": str(self.retention_bytes // 8),
                "compression.type": "zstd",  # whatever the producer does
            }
        if "compact" in self.cleanup:
            config |= COMPACTION
        if self.cleanup == "compact":
            config["delete.retention.ms"] = str(TOMBSTONES_MS)
        return config


EVENTS: Final = Topic(
    "events",
    "visitor_id",
    "Event",
    "json",
    8,
    "delete",
    ("ingest",),
    ("session_processor", "trainer", "ops"),
    30 * DAY_MS,
)
EVENTS_DLQ: Final = Topic(
    "events.dlq",
    "as received",
    "raw",
    "raw",
    1,
    "delete",
    ("ingest", "session_processor"),
    ("ops",),
    30 * DAY_MS,
    DEAD_LETTER_BYTES,
)
PRODUCTS: Final = Topic(
    "products",
    "product_id",
    "Product",
    "json",
    4,
    "compact",
    ("ingest",),
    ("embedder", "recommender"),
)
PRODUCTS_DLQ: Final = Topic(
    "products.dlq",
    "product_id",
    "raw",
    "raw",
    1,
    "delete",
    ("embedder",),
    ("ops",),
    30 * DAY_MS,
    DEAD_LETTER_BYTES,
)
PRODUCT_VECTORS: Final = Topic(
    "product-vectors",
    "product_id",
    "ProductVectors",
    "msgpack",
    4,
    "compact",
    ("embedder",),
    ("session_processor", "recommender"),
)
SESSIONS: Final = Topic(
    "sessions",
    "visitor_id",
    "Session",
    "msgpack",
    8,
    "compact,delete",
    ("session_processor",),
    ("recommender",),
    30 * DAY_MS,
)
MODELS: Final = Topic(
    "models",
    "model name",
    "ModelRelease",
    "json",
    1,
    "compact",
    ("trainer",),
    ("embedder", "session_processor", "recommender"),
)
RECOMMENDATIONS: Final = Topic(
    "recommendations",
    "visitor_id",
    "Shown",
    "json",
    4,
    "delete",
    ("recommender",),
    ("trainer", "ops"),
    30 * DAY_MS,
)
ERASURES: Final = Topic(
    "erasures",
    "visitor_id",
    "Erasure",
    "json",
    1,
    "compact",
    ("ops", "ingest"),
    ("every reader of history",),
)
IDENTITIES: Final = Topic(
    "identities",
    "visitor_id",
    "Identity",
    "json",
    1,
    "compact",
    ("ingest", "ops"),
    ("recommender", "ingest", "ops"),
)
RULES: Final = Topic(
    "rules",
    "rule_id",
    "Rule",
    "json",
    1,
    "compact",
    ("recommender",),
    ("recommender", "ops"),
)
EXPERIMENTS: Final = Topic(
    "experiments",
    "experiment name",
    "Experiment",
    "json",
    1,
    "compact",
    ("recommender",),
    ("recommender", "ops"),
)

TOPICS: Final = (
    EVENTS, EVENTS_DLQ, PRODUCTS, PRODUCTS_DLQ, PRODUCT_VECTORS,
    SESSIONS, MODELS, RECOMMENDATIONS, ERASURES,
    IDENTITIES, RULES, EXPERIMENTS,
)  # fmt: skip
