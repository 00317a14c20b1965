"""Every series of our services, declared or recorded, and its labels."""

from prometheus_client import CollectorRegistry

from infra.alarms import recorded
from infra.reference import registries

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def find_declared(registry: CollectorRegistry) -> dict[str, frozenset[str]]:
    """Every series of a registry and its labels, whether or not it has samples yet."""
    found: dict[str, frozenset[str]] = {}
    for collector in set(registry._collector_to_names):
        [family] = collector.describe()  # type: ignore[attr-defined]
        for suffix in SUFFIXES[family.type]:
            own = {"le"} if suffix == "_bucket" else set()
            found[family.name + suffix] = frozenset(collector._labelnames) | own  # type: ignore[attr-defined]
    return found


SERIES = {
    name: labels for registry in registries().values() for name, labels in find_declared(registry).items()
} | {name: frozenset({"tenant"}) for name in recorded()}
