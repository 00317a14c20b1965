"""/metrics: every sample says whose it is, whatever the services declare, and tenants stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.reference import registries
from services.web.exposition import label_metrics


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("service", registries())
def test_all_that_a_service_counts_is_told_once_and_carries_its_tenant(service: str) -> None:
    registry = registries()[service]
    plain, told = samples(registry), samples(label_metrics({"shop-a": registry}))
    assert told == {(name, labels | {("tenant", "shop-a")}): value for (name, labels), value in plain.items()}
    # Kind and meaning stay as they are declared.
    heads = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("#")]
    labelled = generate_latest(label_metrics({"shop-a": registry})).decode().splitlines()
    assert [line for line in labelled if line.startswith("#")] == heads


class Declared:
    """One metric of each kind."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.taken = Counter("taken_total", "Taken", ["kind"], registry=self.registry)
        self.open = Gauge("open", "Open", registry=self.registry)
        self.seconds = Histogram("seconds", "Time", buckets=(1, 2), registry=self.registry)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"])), max_size=30))
def test_what_one_tenant_does_moves_no_sample_of_another(done: list[tuple[int, str]]) -> None:
    tenants = [Declared() for _ in range(3)]
    labelled = label_metrics({f"t{number}": each.registry for number, each in enumerate(tenants)})
    for number, kind in done:
        tenants[number].taken.labels(kind).inc()
        tenants[number].seconds.observe(1.5)
    told = samples(labelled)
    for number in range(3):
        of_it = [kind for whose, kind in done if whose == number]
        for kind in set(of_it):
            key = ("taken_total", frozenset({("kind", kind), ("tenant", f"t{number}")}))
            assert told[key] == of_it.count(kind)
        assert told["seconds_count", frozenset({("tenant", f"t{number}")})] == len(of_it)
    heads = [line for line in generate_latest(labelled).decode().splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))  # a scraper takes a family that is told twice for broken


def test_a_scraper_may_ask_for_single_metrics() -> None:
    declared = Declared()
    asked = label_metrics({"t": declared.registry}).restricted_registry(["open"])
    assert samples(asked) == {("open", frozenset({("tenant", "t")})): 0}  # type: ignore[arg-type]
