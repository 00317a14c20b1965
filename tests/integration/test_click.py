"""`ops click`, which `helm test` runs: with real services, and where one of them is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from schemas import erasures, events
from schemas.topics import ERASURES, EVENTS
from tests.support.kafka import read_topic
from tests.support.machine import free_ports
from tests.support.operator import Operator, settings_without_services
from tests.support.services import RunningService, run_service
from tests.support.shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("click")


@pytest.fixture(scope="module")
def ingest(shop: Shop, folder: Path) -> Iterator[RunningService]:
    with run_service("ingest", shop.settings, folder / "ingest") as service:
        yield service


@pytest.fixture(scope="module")
def recommender(shop: Shop, folder: Path) -> Iterator[RunningService]:
    with run_service("recommender", shop.settings, folder / "recommender") as service:
        yield service


@pytest.fixture(scope="module")
def ops(shop: Shop, ingest: RunningService, recommender: RunningService) -> Operator:
    return Operator(shop.settings, {"EDDY_INGEST_URL": ingest.url, "EDDY_RECOMMENDER_URL": recommender.url})


def test_a_click_that_no_session_processor_reads_is_said_not_to_arrive(ops: Operator) -> None:
    assert "the page was not told within 2 s" in ops("click", "--within", "2", status=1).err


def test_a_click_arrives_and_its_visitor_is_erased(ops: Operator, shop: Shop, folder: Path) -> None:
    with run_service("session_processor", shop.settings, folder / "processor"):
        told = ops("click", "--within", "20", "--json").json
        assert told["items"]
        assert told["product_id"] not in told["items"], "the click itself is not shown again"
        assert 0 < told["accepted_ms"] <= told["pushed_ms"] < 20_000
        assert "the page was told after" in ops("click", "--product", "p7").out
    clicked = {
        each.visitor_id: each.event_id
        for each in (events.decode(message.value() or b"") for message in read_topic(shop.settings, EVENTS))
    }
    assert clicked[told["visitor_id"]] == told["event_id"]
    erased = {
        erasures.decode(message.value() or b"").visitor_id for message in read_topic(shop.settings, ERASURES)
    }
    assert clicked.keys() == erased, "the one that did not arrive, too"


def test_an_ingest_that_is_away_is_named(ops: Operator) -> None:
    assert (
        "no ingest answers"
        in Operator(ops.settings, settings_without_services(ops.settings))("click", status=2).err
    )


def test_a_recommender_that_is_away_is_named(ops: Operator, ingest: RunningService) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    alone = Operator(ops.settings, {"EDDY_INGEST_URL": ingest.url, "EDDY_RECOMMENDER_URL": nobody})
    assert f"the recommender at {nobody} keeps no live socket open" in alone("click", status=2).err
