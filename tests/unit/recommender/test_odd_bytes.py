"""Odd bytes on all topics that the recommender reads: left out, counted, and what is good is applied."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Message
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from schemas.sessions import CLICKED_ROW
from schemas.topics import (
    ERASURES,
    EXPERIMENTS,
    IDENTITIES,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RULES,
    SESSIONS,
    Topic,
)
from services.model.session import Tuning
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.live_learning import LatestVisits, LiveLearning
from services.recommender.metrics import Metrics
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.popularity import Popularity
from services.recommender.serving_models import ModelRegistry, ServedModel
from services.recommender.shown_rows import ShownRows
from services.recommender.state import State
from services.recommender.visitor_sessions import MergedSessions, Sessions
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from tests.support import odd_bytes
from tests.support.examples import examples
from tests.support.messages import StoredMessage
from tests.support.odd_bytes import ANY_VALUE, HEADERS
from tests.support.sessions import LAYOUT

NOW = 1_700_000_000_000
TOPICS = (PRODUCTS, PRODUCT_VECTORS, SESSIONS, ERASURES, IDENTITIES, MODELS, RULES, EXPERIMENTS)


class Recommender:
    """The state of one, and what it holds."""

    def __init__(self, folder: Path) -> None:
        tuning = Tuning()
        self.metrics = Metrics()
        self.rows = ShownRows(self.metrics, lambda: float(NOW))
        self.catalogue = Catalogue()
        self.replica = VectorReplica(LAYOUT, self.catalogue.numbers)
        self.people, self.rules, self.experiments = IdentityGraph(), RuleSchedule(), ExperimentSchedule()
        self.sessions = Sessions(LAYOUT, 100)
        joined = MergedSessions(self.sessions, self.people, self.replica, LAYOUT, tuning)
        served = ServedModel(folder / "models", self.metrics)
        self.lines = ModelRegistry("behaviour", served, lambda _name: served)
        visits = LatestVisits(100, tuning)
        self.state = State(
            self.catalogue,
            CachedIndex(EdgeIndex(LAYOUT, folder / "index")),
            self.replica,
            layout=LAYOUT,
            sessions=self.sessions,
            joined=joined,
            people=self.people,
            popularity=Popularity(1000.0, tuning.kind_weights),
            rules=self.rules,
            experiments=self.experiments,
            lines=self.lines,
            live=LiveLearning(served, visits, self.metrics, every_s=60, visitors_max=100),
            hub=SubscriptionRegistry(self.metrics),
            rows=self.rows,
            metrics=self.metrics,
        )
        self.takers: dict[Topic, Callable[[list[Message]], Coroutine[None, None, None]]] = {
            PRODUCTS: self.state.products,
            PRODUCT_VECTORS: self.state.vectors,
            SESSIONS: self.state.newest_sessions,
            ERASURES: self.state.newest_erasures,
            IDENTITIES: self.state.newest_identities,
            MODELS: self.state.newest_releases,
            RULES: self.state.newest_rules,
            EXPERIMENTS: self.state.newest_experiments,
        }

    async def take(self, topic: Topic, *messages: StoredMessage) -> None:
        await self.takers[topic](cast("list[Message]", list(messages)))

    def count_left_out(self, topic: Topic) -> float:
        found = self.metrics.registry.get_sample_value(
            "eddy_recommender_unreadable_total", {"topic": topic.name}
        )
        return found or 0.0


@pytest.fixture
def recommender(tmp_path: Path) -> Recommender:
    return Recommender(tmp_path)


def odd(topic: Topic) -> list[StoredMessage]:
    return [
        StoredMessage(key, value, headers, topic=topic.name, at=NOW)
        for key, value, headers in odd_bytes.messages(topic, LAYOUT)
    ]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
async def test_odd_messages_are_left_out_one_by_one_and_in_a_heap(
    recommender: Recommender, topic: Topic
) -> None:
    lying = odd(topic)
    for message in lying:
        await recommender.take(topic, message)
    assert recommender.count_left_out(topic) == len(lying)
    good = StoredMessage(*odd_bytes.good(topic, LAYOUT), topic=topic.name, at=NOW)
    await recommender.take(topic, *lying, good, *lying)
    holds = {
        PRODUCTS: len(recommender.catalogue),
        PRODUCT_VECTORS: len(recommender.replica),
        SESSIONS: len(recommender.sessions),
        IDENTITIES: len(recommender.people),
        RULES: len(recommender.rules),
        EXPERIMENTS: len(recommender.experiments),
    }
    assert holds.get(topic, 1) == 1
    await recommender.lines.close()


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_headers_decide_nothing_about_a_session(
    recommender: Recommender, headers: list[tuple[str, bytes | None]]
) -> None:
    await recommender.take(SESSIONS, StoredMessage(*odd_bytes.good(SESSIONS, LAYOUT), headers, at=NOW))
    published = recommender.sessions.latest("v")
    assert published is not None
    assert (published.accepted_at, published.folded_at) == (None, None)


async def test_a_click_counts_also_where_a_newer_session_lies_behind_it(recommender: Recommender) -> None:
    recommender.rows.show("row", "home", None, None, ("p1",))
    key, value = odd_bytes.good(SESSIONS, LAYOUT)
    clicked = StoredMessage(key, value, [(CLICKED_ROW, b"row")], topic=SESSIONS.name, at=NOW)
    await recommender.take(SESSIONS, clicked, StoredMessage(key, value, topic=SESSIONS.name, at=NOW))
    labels = {"slot": "home", "model": "none"}
    clicks = recommender.metrics.registry.get_sample_value("eddy_recommender_rows_clicked_total", labels)
    assert clicks == 1


async def test_the_headers_of_each_session_are_read_once(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, value = odd_bytes.good(SESSIONS, LAYOUT)
    lying = [StoredMessage(key, value, topic=SESSIONS.name, at=NOW) for _ in range(2)]
    read: list[int] = []
    headers = StoredMessage.headers

    def count(message: StoredMessage) -> object:
        read.append(id(message))
        return headers(message)

    monkeypatch.setattr(StoredMessage, "headers", count)
    await recommender.take(SESSIONS, *lying)
    assert sorted(read) == sorted(map(id, lying))


@examples(50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(TOPICS), st.lists(st.tuples(st.none() | st.binary(max_size=8), ANY_VALUE), max_size=4))
async def test_any_bytes_are_lived_with(recommender: Recommender, topic: Topic, found: list[Any]) -> None:
    await recommender.take(topic, *(StoredMessage(key, value, at=NOW) for key, value in found))
