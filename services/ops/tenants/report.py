"""Which tenants a cluster has, by the names of its topics, and what each has. Pure."""

import re
from collections.abc import Collection, Iterable

import msgspec

from schemas.tenants import PREFIX, label
from schemas.topics import TOPICS
from services.ops.topics.drift import CHANGELOG


class TenantFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant has. `products` and `events_…` are None where their topic is missing or not counted.

    `members` counts the processes in its consumer groups; recommenders and ingest are in none.
    `models_bytes` is None where the store has none of its models or does not answer,
    `recommender_disk_bytes` where no recommender answers that serves it.
    """

    prefix: str
    tenant: str
    topics: int
    missing: tuple[str, ...]
    events_last_minute: int | None
    events_last_day: int | None
    products: int | None
    lag: int
    members: int
    models_bytes: int | None = None
    recommender_disk_bytes: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no topic is missing."""
        return not self.missing


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, and what is elsewhere and was not."""

    tenant: str
    topics: tuple[str, ...]
    groups: tuple[str, ...]
    left: tuple[str, ...]


def find_prefixes(names: Iterable[str]) -> list[str]:
    """The prefixes under which at least half of the listed topics are there, in order."""
    counts: dict[str, int] = {}
    for name in set(names):
        for topic in TOPICS:
            if name.endswith(topic.name):
                prefix = name.removesuffix(topic.name)
                counts[prefix] = counts.get(prefix, 0) + 1
    return sorted(
        prefix
        for prefix, count in counts.items()
        if 2 * count >= len(TOPICS) and re.fullmatch(PREFIX, prefix)
    )


def own_topics(prefix: str, names: Collection[str], groups: Iterable[str]) -> list[str]:
    """Of these names the tenant's own: the listed topics, and the changelogs of its groups' tables.

    A longer prefix that begins alike is another tenant's.
    """
    tables = tuple(f"{group}-" for group in groups)
    return sorted(
        name
        for name in names
        if name in {topic.full_name(prefix) for topic in TOPICS}
        or (name.startswith(tables) and name.endswith(CHANGELOG))
    )


def elsewhere(prefix: str, *, models: str, collection: str | None) -> tuple[str, ...]:
    """What a tenant has outside Kafka, in words."""
    places = [f"models in {models}", f"the folders of its recommenders (tenant {label(prefix)})"]
    if collection is not None:
        places.append(f"the Qdrant collection {collection}")
    return tuple(places)
