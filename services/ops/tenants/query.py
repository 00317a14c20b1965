"""Asks the broker and the services what tenants have, and removes one that nobody reads."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import httpx
import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import OffsetSpec
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from schemas.tenants import label
from schemas.times import DAY_MS
from schemas.topics import EVENTS, PRODUCTS, TOPICS
from services.clock import now_ms
from services.errors import OperationFailed
from services.kafka.admin import EARLIEST, LATEST, KafkaAdmin, require_broker
from services.kafka.ranges import newest_by_key, open_reader
from services.model.store import StoreFailed, size_of
from services.ops.lag.query import PASSING
from services.ops.lag.report import list_groups, partition_lag
from services.ops.services import READY_S, url_of
from services.ops.settings import OpsSettings
from services.ops.tenants.report import Deleted, TenantFacts, elsewhere, find_prefixes, own_topics

LOOKS: Final = 4  # tenants that are looked at at a time
GONE_S: Final = 30.0
SETTLED_S: Final = 15.0
MINUTE_MS: Final = 60_000
DISK: Final = "eddy_recommender_disk_bytes"
# They read whole topics without a group, so that the broker knows nothing of them.
WITHOUT_GROUP: Final = ("ingest", "recommender")


class StillRead(OperationFailed):
    """Somebody works for this tenant; the text says who."""


class NoSuchTenant(OperationFailed):
    """Nothing is there under this prefix."""


def list_tenants(settings: OpsSettings, *, count_products: bool) -> list[TenantFacts]:
    """All tenants of the cluster, by prefix. Raises BrokerAway."""
    admin = KafkaAdmin(settings)
    with require_broker(settings):
        names, groups = set(admin.cluster().topics), admin.group_names()
        all_of = [settings.model_copy(update={"topic_prefix": prefix}) for prefix in find_prefixes(names)]
        with ThreadPoolExecutor(LOOKS) as looks:  # each waits for a dozen answers, one after the other
            found = [*looks.map(lambda of: _look(admin, of, names, groups, count_products), all_of)]
    on_disk = {
        sample.labels.get("tenant"): int(sample.value)
        for sample in _samples_at(url_of(settings, "recommender"))
        if sample.name == DISK
    }
    return [
        msgspec.structs.replace(
            each,
            models_bytes=_size_of_models(settings.model_copy(update={"topic_prefix": each.prefix})),
            recommender_disk_bytes=on_disk.get(each.tenant),
        )
        for each in found
    ]


def _size_of_models(of: OpsSettings) -> int | None:
    with suppress(StoreFailed):  # `models list` says why
        return size_of(of.tenant_store)
    return None


@retry(
    # A topic that was made just now has no leader for a moment.
    retry=retry_if_exception(
        lambda error: (
            isinstance(error, KafkaException) and error.args[0].code() in PASSING | {KafkaError._NOENT}
        )
    ),
    stop=stop_after_delay(SETTLED_S),
    wait=wait_fixed(0.2),
    reraise=True,
)
def _look(
    admin: KafkaAdmin, of: OpsSettings, names: Collection[str], groups: Collection[str], count_products: bool
) -> TenantFacts:
    present = [topic for topic in TOPICS if of.topic(topic) in names]
    lag, members = 0, 0
    for watched in list_groups(of):
        found = admin.group(watched.group) if watched.group in groups else None
        members += len(found.members) if found else 0
        if watched.topic not in present:
            continue
        parts = admin.partitions(of.topic(watched.topic))
        lows, highs = admin.offsets(parts, EARLIEST), admin.offsets(parts, LATEST)
        committed = admin.read_committed(watched.group, parts)
        lag += sum(
            partition_lag(
                part.partition, committed[part.partition], lows[part].offset, highs[part].offset
            ).lag
            for part in parts
        )
    has_events = EVENTS in present
    return TenantFacts(
        prefix=of.topic_prefix,
        tenant=of.tenant,
        topics=len(present),
        missing=tuple(topic.name for topic in TOPICS if topic not in present),
        events_last_minute=_count_since(admin, of, MINUTE_MS) if has_events else None,
        events_last_day=_count_since(admin, of, DAY_MS) if has_events else None,
        products=_count_products(of) if count_products and PRODUCTS in present else None,
        lag=lag,
        members=members,
    )


def _count_since(admin: KafkaAdmin, of: OpsSettings, ms: int) -> int:
    """Events of the last so many ms, by the broker's times."""
    parts = admin.partitions(of.topic(EVENTS))
    begins = admin.offsets(parts, OffsetSpec.for_timestamp(int(now_ms()) - ms))
    ends = admin.offsets(parts, LATEST)
    # Below 0 where no message is as new as that.
    return sum(ends[part].offset - begins[part].offset for part in parts if begins[part].offset >= 0)


def _count_products(of: OpsSettings) -> int:
    with open_reader(of) as reader:
        return len(newest_by_key(reader, reader.spans(PRODUCTS), lambda _message: None))


def find_own(settings: OpsSettings) -> list[str]:
    """The topics of the settings' tenant that are there. Raises BrokerAway and NoSuchTenant."""
    with require_broker(settings):
        names = set(KafkaAdmin(settings).cluster().topics)
    groups = [each.group for each in list_groups(settings)]
    found = own_topics(settings.topic_prefix, names, groups)
    if not found:
        there = ", ".join(repr(prefix) for prefix in find_prefixes(names)) or "none"
        raise NoSuchTenant(
            f"no topic is there under the prefix {settings.topic_prefix!r}; prefixes of tenants: {there}"
        )
    return found


def require_unread(settings: OpsSettings) -> None:
    """Raises StillRead where a group of the settings' tenant has members, or a service tells of it."""
    admin = KafkaAdmin(settings)
    with require_broker(settings):
        there = admin.group_names()
        own = [each.group for each in list_groups(settings) if each.group in there]
        groups = {name: admin.group(name) for name in own}
    for name, found in groups.items():
        if found is not None and found.members:
            who = ", ".join(sorted(member.group_instance_id or member.client_id for member in found.members))
            raise StillRead(f"{who} reads {settings.tenant} (group {name}): stop it first")
    for service in WITHOUT_GROUP:
        url = url_of(settings, service)
        if label(settings.topic_prefix) in _tenants_at(url):
            raise StillRead(f"the {service} at {url} serves {settings.tenant}: stop it, or change its list")


def _tenants_at(url: str) -> set[str]:
    """The tenants that a service tells of at /metrics; none where nobody answers."""
    return {sample.labels.get("tenant", "") for sample in _samples_at(url)}


def _samples_at(url: str) -> list[Sample]:
    """What a service tells at /metrics; nothing where nobody answers."""
    try:
        answer = httpx.get(f"{url}/metrics", timeout=READY_S).raise_for_status()
        families = list(text_string_to_metric_families(answer.text))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return []
    return [sample for family in families for sample in family.samples]


def delete_tenant(settings: OpsSettings, topics: Collection[str]) -> Deleted:
    """Removes its groups, then its topics. Raises BrokerAway, and StillRead where somebody came meanwhile."""
    admin = KafkaAdmin(settings)
    with require_broker(settings, "does not delete"):
        there = admin.group_names()
        groups = [each.group for each in list_groups(settings) if each.group in there]
        if groups and (busy := admin.delete_groups(groups)):
            raise StillRead(f"somebody has joined {', '.join(sorted(busy))} meanwhile: nothing was deleted")
        admin.delete_topics(topics, GONE_S)
    collection = (
        settings.topic_prefix + settings.qdrant_collection if settings.qdrant_url is not None else None
    )
    return Deleted(
        tenant=settings.tenant,
        topics=tuple(sorted(topics)),
        groups=tuple(groups),
        left=elsewhere(settings.topic_prefix, models=settings.tenant_store, collection=collection),
    )
