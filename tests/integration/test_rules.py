"""The shop's rules and experiments on a real recommender: what people put takes effect on open pages."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest

from infra.stack.broker import Broker
from schemas.experiments import Experiment
from schemas.topics import RULES
from services.clock import now_ms
from services.kafka.clients import AcknowledgedProducer, producer_config
from services.recommender.api.admin import Publisher
from services.settings import ServiceSettings
from services.web.problems import BrokerAway
from tests.support.machine import free_ports
from tests.support.patience import eventually
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import CATALOGUE, Json, Live, Shop, get, ids, open_shop, shelf

ADMIN = "the key of the shop's people"
ENVIRONMENT = {"EDDY_ADMIN_KEY": ADMIN}
POPULAR = {"name": "all", "kind": "popular", "k": 5}
AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    """A shop of this module alone: rules would move the rows of other tests."""
    return open_shop(broker)


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("recommender") / "log"
    with run_service("recommender", shop.settings, log, environment=ENVIRONMENT) as service:
        yield service


@pytest.fixture(autouse=True)
def without_rules(recommender: RunningService) -> Iterator[None]:
    """Leaves nothing to the next test."""
    yield
    for rule in admin(recommender, "GET", "/v1/rules")["rules"]:
        admin(recommender, "DELETE", f"/v1/rules/{rule['rule_id']}")
    for experiment in admin(recommender, "GET", "/v1/experiments")["experiments"]:
        admin(recommender, "DELETE", f"/v1/experiments/{experiment['name']}")


def admin(service: RunningService, method: str, path: str, status: int = 200, **options: Any) -> Json:
    answer = service.http.request(method, path, headers={"Authorization": f"Bearer {ADMIN}"}, **options)
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    return body


def put(service: RunningService, rule_id: str, **rule: object) -> Json:
    return admin(service, "PUT", f"/v1/rules/{rule_id}", json=rule)


async def soon(live: Live, started: float) -> Json:
    """The next push, which has to come within a second of what caused it."""
    message = await live.next()
    assert monotonic() - started < AT_ONCE_S
    return message


async def test_a_block_clears_open_pages_at_once_and_a_deletion_restores_them(
    recommender: RunningService, shop: Shop
) -> None:
    async with shop.live(recommender, "somebody", POPULAR) as live:
        before = ids(await live.next())
        started = monotonic()
        put(recommender, "recall", action="block", products=[before[2]])
        after = ids(await soon(live, started))
        assert before[2] not in after
        assert len(after) == 5
        # 200 meant that it holds: whoever asks now sees it, too.
        assert before[2] not in ids(get(recommender, "/v1/popular", k=60))
        started = monotonic()
        admin(recommender, "DELETE", "/v1/rules/recall")
        assert ids(await soon(live, started)) == before


@pytest.mark.parametrize("named", [{"brands": ["Brand 2"]}, {"categories": ["Lamps"]}])
def test_nothing_that_is_blocked_is_left_in_any_row(
    recommender: RunningService, named: dict[str, list[str]]
) -> None:
    def find_blocked(path: str) -> set[str]:
        return {
            item["product_id"]
            for item in get(recommender, path, k=60)["items"]
            if item.get("brand") in named.get("brands", ())
            or item["category"][0] in named.get("categories", ())
        }

    paths = ("/v1/popular", "/v1/products/p9/similar", "/v1/products/p10/similar")
    assert all(find_blocked(path) for path in paths)
    put(recommender, "gone", action="block", **named)
    assert not any(find_blocked(path) for path in paths)


async def test_a_pin_stands_in_its_place_and_says_so_until_it_is_sold_out(
    recommender: RunningService, shop: Shop
) -> None:
    async with shop.live(recommender, "somebody", POPULAR) as live:
        before = ids(await live.next())
        started = monotonic()
        put(recommender, "pinned", action="pin", products=["p50", before[3]], position=2, slots=["all"])
        message = await soon(live, started)
        assert ids(message) == [before[0], "p50", before[3], before[1], before[2]]
        assert (message["items"][1]["source"], message["items"][1]["rules"]) == ("rule", ["pinned"])
        pinned = CATALOGUE[50]
        await shop.put(msgspec.structs.replace(pinned, availability="out_of_stock", updated_at=100))
        assert "p50" not in ids(await live.next())
        await shop.put(msgspec.structs.replace(pinned, updated_at=101))
    assert "p50" not in ids(get(recommender, "/v1/products/p1/similar", k=4))  # not the slot of the pin


async def test_a_blocked_product_is_not_shown_by_a_pin(recommender: RunningService, shop: Shop) -> None:
    put(recommender, "a-pin", action="pin", products=["p50"])
    put(recommender, "the-block", action="block", brands=[str(CATALOGUE[50].brand)])
    assert "p50" not in ids(get(recommender, "/v1/popular", k=5))


async def test_boosts_and_buries_move_products_on_open_pages(recommender: RunningService, shop: Shop) -> None:
    async with shop.live(recommender, "somebody", POPULAR) as live:
        before = ids(await live.next())
        started = monotonic()
        put(recommender, "up", action="boost", products=[before[4]], factor=100)
        message = await soon(live, started)
        assert ids(message) == [before[4], *before[:4]]
        assert message["items"][0]["rules"] == ["up"]
        started = monotonic()
        put(recommender, "down", action="bury", products=[before[0]], factor=100)
        assert before[0] not in ids(await soon(live, started))


def test_a_boost_moves_similar_products_up_but_shows_no_others(recommender: RunningService) -> None:
    path = "/v1/products/p9/similar"
    before = ids(get(recommender, path, k=6))
    put(recommender, "up", action="boost", products=[before[4]], factor=100)
    assert ids(get(recommender, path, k=6))[0] == before[4]
    put(recommender, "up", action="boost", categories=["Lamps"], factor=2)
    assert {shelf(each) for each in ids(get(recommender, path, k=6))} == {"Shoes"}  # nearer, by far


async def test_a_window_opens_and_closes_on_an_open_page_by_itself(
    recommender: RunningService, shop: Shop
) -> None:
    async with shop.live(recommender, "somebody", POPULAR) as live:
        before = ids(await live.next())
        starts_at = int(now_ms()) + 700
        ends_at = starts_at + 900
        put(recommender, "hour", action="block", products=[before[0]], starts_at=starts_at, ends_at=ends_at)
        opened, closed = await live.next(), await live.next()
    assert before[0] not in ids(opened)
    assert ids(closed) == before
    for message, moment in ((opened, starts_at), (closed, ends_at)):
        assert 0 <= message["timing"]["pushed_at"] - moment < AT_ONCE_S * 1000


async def test_every_recommender_follows_and_a_killed_one_knows_the_rules_again(
    recommender: RunningService, shop: Shop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with run_service("recommender", shop.settings, log, environment=ENVIRONMENT) as other:
        async with shop.live(other, "somebody", POPULAR) as live:
            before = ids(await live.next())
            started = monotonic()
            put(recommender, "recall", action="block", products=[before[0]])
            after = ids(await soon(live, started))
            assert before[0] not in after
        rules = admin(recommender, "GET", "/v1/rules")
        assert admin(other, "GET", "/v1/rules") == rules
        other.kill()
        with run_service(
            "recommender", shop.settings, log, environment=ENVIRONMENT, port=other.port
        ) as again:
            assert admin(again, "GET", "/v1/rules") == rules
            assert ids(get(again, "/v1/popular", k=5)) == after


def test_nobody_changes_rules_without_the_admin_key(recommender: RunningService) -> None:
    for headers in ({}, {"Authorization": f"Bearer {KEY}"}):
        for method, path in (("GET", "/v1/rules"), ("PUT", "/v1/rules/a"), ("DELETE", "/v1/experiments/a")):
            answer = recommender.http.request(method, path, headers=headers)
            assert answer.status_code == 401, answer.text
            assert "admin key" in answer.json()["detail"]


async def test_an_experiment_treats_each_visitor_by_its_variant_and_ends(
    recommender: RunningService, shop: Shop
) -> None:
    sent = {
        "variants": [
            {"name": "as-is", "share": 0.5},
            {"name": "no-brand", "share": 0.5, "weights": {"similar": {"brand": 0.0}}, "diversity": 0.5},
        ]
    }
    answer = admin(recommender, "PUT", "/v1/experiments/less-brand", json=sent)
    assert answer["warnings"] == []
    experiment = msgspec.convert(answer["experiment"], Experiment)
    seen = set[str]()
    for visitor_id in (f"visitor-{number}" for number in range(8)):
        variant = experiment.variant_of(visitor_id)
        assert variant is not None
        async with shop.live(recommender, visitor_id, POPULAR) as live:
            assert (await live.next())["experiments"] == {"less-brand": variant.name}
        seen.add(variant.name)
    assert seen == {"as-is", "no-brand"}
    admin(recommender, "DELETE", "/v1/experiments/less-brand")
    async with shop.live(recommender, "visitor-0", POPULAR) as live:
        assert not (await live.next()).get("experiments")


async def test_a_burst_of_changes_ends_in_the_last_one(recommender: RunningService, shop: Shop) -> None:
    async with shop.live(recommender, "somebody", POPULAR) as live:
        before = ids(await live.next())
        async with httpx.AsyncClient(base_url=recommender.url, timeout=10) as client:
            headers = {"Authorization": f"Bearer {ADMIN}"}
            bodies = [{"action": "block", "products": [f"p{number}"]} for number in range(20)]
            answers = [await client.put("/v1/rules/one", json=body, headers=headers) for body in bodies]
        assert {answer.status_code for answer in answers} == {200}
        admin(recommender, "DELETE", "/v1/rules/one")

        async def check_settled() -> None:
            assert ids(await live.next()) == before

        await eventually(check_settled)
    assert ids(get(recommender, "/v1/popular", k=5)) == before


async def test_without_a_broker_the_sender_is_told_to_try_again() -> None:
    settings = ServiceSettings(kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}")
    producer = AcknowledgedProducer(producer_config(settings, linger_ms=0, timeout_ms=300))
    try:
        with pytest.raises(BrokerAway) as refused:
            await Publisher(producer, settings).publish(RULES, "a", b"{}")
    finally:
        await asyncio.to_thread(producer.close, 0)
    assert refused.value.headers["Retry-After"] == "1"
