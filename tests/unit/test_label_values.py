"""Problems that have not happened yet are series of 0."""

import pytest
from prometheus_client import CollectorRegistry, Counter

from infra.reference import registries
from services.label_values import begin_at_zero


def test_each_value_is_a_series_of_zero() -> None:
    registry = CollectorRegistry()
    begin_at_zero(Counter("c_total", "", ["why"], registry=registry), ("a", "b"))
    assert [registry.get_sample_value("c_total", {"why": each}) for each in "ab"] == [0, 0]


@pytest.mark.parametrize(
    ("service", "series", "labels"),
    [
        ("services.ingest", "eddy_ingest_problems_total", {"status": "503"}),
        ("services.ingest", "eddy_ingest_events_rejected_total", {"kind": "broker"}),
        ("services.recommender", "eddy_recommender_problems_total", {"status": "503"}),
        ("services.recommender", "eddy_recommender_unreadable_total", {"topic": "sessions"}),
        ("services.recommender", "eddy_recommender_fallbacks_total", {"reason": "index_away"}),
        ("services.recommender", "eddy_recommender_sessions_evicted_total", {"rank": "buyer"}),
        ("services.session_processor", "eddy_session_processor_events_total", {"outcome": "dead"}),
        ("services.embedder", "eddy_embedder_dead_letters_total", {"stage": "decode"}),
    ],
)
def test_what_alarms_look_at_begins_at_zero(service: str, series: str, labels: dict[str, str]) -> None:
    assert registries()[service].get_sample_value(series, labels) == 0
