"""What /metrics tells: the metrics of one tenant or of several, each sample with the label `tenant`."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

LABEL = "tenant"


class LabelledMetrics(Collector):
    """The metrics of several registries as one: a family of several is told once, with all its samples."""

    def __init__(self, registries: Mapping[str, CollectorRegistry]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """Every family of every tenant."""
        families: dict[str, Metric] = {}
        for tenant, registry in self._registries.items():
            of_tenant = {LABEL: tenant}
            for family in registry.collect():
                told = families.get(family.name)
                if told is None:
                    told = Metric(family.name, family.documentation, family.type, family.unit)
                    families[family.name] = told
                told.samples += [each._replace(labels=each.labels | of_tenant) for each in family.samples]
        yield from families.values()


def label_metrics(registries: Mapping[str, CollectorRegistry]) -> CollectorRegistry:
    """A registry that tells what these hold, by tenant, at every scrape anew."""
    labelled = CollectorRegistry(auto_describe=True)
    labelled.register(LabelledMetrics(registries))
    return labelled
