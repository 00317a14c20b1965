"""Experiments from their PUT to their report: rows by variant, impressions, clicks, and who won."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec
import pytest

from infra.stack.broker import Broker
from schemas import impressions, models
from schemas.experiments import Experiment
from schemas.impressions import Shown
from schemas.topics import RECOMMENDATIONS
from services.clock import now_ms
from tests.support.kafka import read_topic
from tests.support.launcher import run_module
from tests.support.models import store_artifact
from tests.support.patience import eventually
from tests.support.released_models import ONE, OTHER, version
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import Json, Shop, ids, open_shop

pytestmark = pytest.mark.timeout(200)

ADMIN: Final = "the key of the shop's people"
K: Final = 6
PRODUCT: Final = "p30"
VARIANTS: Final[list[Json]] = [
    {"name": "as-is", "share": 0.25},
    {"name": "no-behaviour", "share": 0.25, "model": ""},
    {"name": "other-model", "share": 0.25, "model": "behaviour-b"},
    {"name": "brands", "share": 0.25, "weights": {"similar": {"brand": 10.0, "behaviour": 0.0}}},
]
ENDING: Final[list[Json]] = [{**VARIANTS[1], "share": 1.0}, {**VARIANTS[0], "share": 0.0}]


class Flow(NamedTuple):
    """The running services of one shop."""

    shop: Shop
    ingest: RunningService
    recommender: RunningService


@pytest.fixture(scope="module")
def flow(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """Two lines of models are released; only the shop's own serves before an experiment names the other."""
    shop, folder = open_shop(broker), tmp_path_factory.mktemp("experiments")

    async def release() -> None:
        for number, (line, past) in enumerate({"behaviour": ONE, "behaviour-b": OTHER}.items()):
            name = version(number)
            found = msgspec.structs.replace(store_artifact(folder / name, past, name), name=line)
            await shop.put_model(line, models.encode(found))

    asyncio.run(release())
    environment = {
        "EDDY_ADMIN_KEY": ADMIN,
        "EDDY_RECOMMENDER_MODELS": str(folder / "fetched"),
        "EDDY_LIVE_LEARNING_S": "0",
    }
    with (
        run_service("ingest", shop.settings, folder / "ingest") as ingest,
        run_service("recommender", shop.settings, folder / "log", environment=environment) as recommender,
    ):
        yield Flow(shop, ingest, recommender)


@pytest.fixture(autouse=True)
def without_experiments(flow: Flow) -> Iterator[None]:
    """Leaves nothing to the next test."""
    yield
    admin = {"Authorization": f"Bearer {ADMIN}"}
    for each in flow.recommender.http.get("/v1/experiments", headers=admin).json()["experiments"]:
        flow.recommender.http.delete(f"/v1/experiments/{each['name']}", headers=admin).raise_for_status()


def put(flow: Flow, name: str, variants: list[Json], **fields: Any) -> Experiment:
    """Starts or replaces an experiment."""
    answer = flow.recommender.http.put(
        f"/v1/experiments/{name}",
        json={"variants": variants, **fields},
        headers={"Authorization": f"Bearer {ADMIN}"},
    )
    assert answer.status_code == 200, answer.text
    return msgspec.convert(answer.json()["experiment"], Experiment)


def row(flow: Flow, visitor_id: str, kind: str = "similar", **parameters: Any) -> Json:
    """A row about a product as the visitor gets it."""
    answer = flow.recommender.http.get(
        f"/v1/products/{PRODUCT}/{kind}",
        params={"visitor_id": visitor_id, "k": K, "slot": "beside", **parameters},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def by_variant(experiment: Experiment, each: int) -> dict[str, list[str]]:
    """Variant → so many visitors that are in it."""
    found: dict[str, list[str]] = {variant.name: [] for variant in experiment.variants}
    number = 0
    while any(len(visitors) < each for visitors in found.values()):
        visitor_id = f"{experiment.name}-{number}"
        variant = experiment.variant_of(visitor_id)
        assert variant is not None
        if len(found[variant.name]) < each:
            found[variant.name].append(visitor_id)
        number += 1
    return found


def impressions_of(flow: Flow, visitors: set[str]) -> dict[str, Shown]:
    """recommendation_id → what the topic says was shown to these visitors."""
    found = (
        impressions.decode(each.value() or b"") for each in read_topic(flow.shop.settings, RECOMMENDATIONS)
    )
    return {each.recommendation_id: each for each in found if each.visitor_id in visitors}


def send(flow: Flow, *events: Json) -> None:
    """Events of any visitors, by way of ingest."""
    made = [{"event_id": str(uuid4()), "occurred_at": int(now_ms()), **each} for each in events]
    answer = flow.ingest.http.post(
        "/v1/events", json={"events": made}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.json() == {"accepted": len(made), "rejected": []}


def report(flow: Flow, name: str) -> Json:
    """`experiment report` as an operator starts it."""
    settings = flow.shop.settings
    variables = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": settings.topic_prefix,
    }
    done = run_module("services.ops", "experiment", "report", name, "--json", environment=variables)
    assert done.returncode == 0, done.stderr
    body: Json = json.loads(done.stdout)
    return body


async def both_serve(flow: Flow, experiment: Experiment) -> None:
    """Waits until the line of models that the experiment names serves, too."""
    [visitor] = by_variant(experiment, 1)["other-model"]

    async def serves() -> None:
        assert row(flow, visitor)["models"].get("behaviour") == version(1)

    await eventually(serves)


async def test_each_variant_has_its_rows(flow: Flow) -> None:
    experiment = put(flow, "rows", VARIANTS)
    await both_serve(flow, experiment)
    rows: dict[str, Json] = {}
    visitors = by_variant(experiment, 3)
    for name, each in visitors.items():
        found = [row(flow, visitor) for visitor in each]
        assert all(told["experiments"] == {"rows": name} for told in found)
        assert all(told["items"] == found[0]["items"] for told in found)
        rows[name] = found[0]
    served = {name: each["models"].get("behaviour") for name, each in rows.items()}
    assert served == {
        "as-is": version(0),
        "no-behaviour": None,
        "other-model": version(1),
        "brands": version(0),
    }
    asked_for = row(flow, visitors["as-is"][0], weights="brand:10,behaviour:0")
    assert rows["brands"]["items"] == asked_for["items"] != rows["as-is"]["items"]
    liked = {name: row(flow, visitor, "also-liked") for name, (visitor, *_) in visitors.items()}
    for name, step in {"as-is": 7, "brands": 7, "other-model": 11}.items():
        beside = {f"p{30 + nth * step}" for nth in (-2, -1, 1, 2)}
        assert set(ids(liked[name])[:4]) == beside
    assert liked["no-behaviour"]["fallback"] == "no_behaviour"


def test_weights_of_the_request_count_more_than_those_of_a_variant(flow: Flow) -> None:
    experiment = put(flow, "weights", VARIANTS)
    visitors = by_variant(experiment, 1)
    [one], [other] = visitors["brands"], visitors["as-is"]
    assert row(flow, one)["items"] != row(flow, other)["items"]
    told = {"weights": "brand:0.3,behaviour:1"}
    assert row(flow, one, **told)["items"] == row(flow, other, **told)["items"]


async def test_what_was_shown_and_clicked_is_what_the_report_counts(flow: Flow) -> None:
    experiment = put(flow, "report", VARIANTS)
    await both_serve(flow, experiment)
    visitors = by_variant(experiment, 5)
    everyone = {visitor for each in visitors.values() for visitor in each}
    shown: dict[str, Viewed] = {}
    for name, each in visitors.items():
        for visitor in each:
            for kind in ("similar", "also-liked"):
                told = row(flow, visitor, kind)
                shown[told["recommendation_id"]] = Viewed(name, visitor, told)

    async def check_recorded() -> None:
        assert shown.keys() <= impressions_of(flow, everyone).keys()

    await eventually(check_recorded)
    records = impressions_of(flow, everyone)
    for recommendation_id, (name, visitor, told) in shown.items():
        record = records[recommendation_id]
        assert (record.visitor_id, record.slot, record.product_id) == (visitor, "beside", PRODUCT)
        assert [each.product_id for each in record.items] == ids(told)
        assert [each.source for each in record.items] == [each["source"] for each in told["items"]]
        assert record.experiments == told["experiments"] == {"report": name}
        assert record.models == told["models"]
    clicks = click(flow, visitors, shown)
    found = report(flow, "report")
    assert [each["name"] for each in found["variants"]] == [variant["name"] for variant in VARIANTS]
    for counted in found["variants"]:
        name = counted["name"]
        assert counted["visitors"] == len(visitors[name])
        assert counted["impressions"] == sum(
            each.experiments == {"report": name} for each in records.values()
        )
        assert counted["clicks"] == counted["clickers"] == clicks[name]
        assert counted["buyers"] == 1
        assert [(each["currency"], each["total"]) for each in counted["revenue"]] == [("EUR", 20.0)]


class Viewed(NamedTuple):
    """One row that somebody was shown."""

    variant: str
    visitor_id: str
    row: Json


def click(flow: Flow, visitors: dict[str, list[str]], shown: dict[str, Viewed]) -> Counter[str]:
    """The clicks: of each variant one visitor more than of the one before, and the last of them buys."""
    clicks = Counter[str]()
    first = {each.visitor_id: recommendation_id for recommendation_id, each in reversed(shown.items())}
    for times, (name, each) in enumerate(visitors.items(), start=1):
        for visitor in each[:times]:
            product_id = ids(shown[first[visitor]].row)[0]
            click = {"visitor_id": visitor, "product_id": product_id, "recommendation_id": first[visitor]}
            send(flow, {"type": "select_item", **click}, {"type": "view_item", **click})
            clicks[name] += 1
        order = {"visitor_id": each[times - 1], "product_id": PRODUCT, "value": 20, "currency": "EUR"}
        send(flow, {"type": "purchase", **order})
    return clicks


async def test_an_end_makes_open_pages_anew(flow: Flow) -> None:
    visitor = f"visitor-{uuid4().hex}"
    slot = {"name": "beside", "kind": "similar", "product_id": PRODUCT, "k": K}
    async with flow.shop.live(flow.recommender, visitor, slot) as live:
        before = await live.next()
        ends_at = int(now_ms()) + 1500
        put(flow, "ending", ENDING, ends_at=ends_at)
        treated = await live.next()
        assert treated["experiments"]["ending"] == "no-behaviour"
        assert "behaviour" not in treated["models"]
        after = await live.next()
    assert "ending" not in after.get("experiments", {})
    assert ids(after) == ids(before)
    assert after["models"] == before["models"]
    assert 0 <= after["timing"]["pushed_at"] - ends_at < 1000
