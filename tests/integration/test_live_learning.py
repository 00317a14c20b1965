"""What shoppers do between two trainings counts already."""

from pathlib import Path

import pytest

from infra.stack.broker import Broker
from tests.support.patience import eventually
from tests.support.released_models import ONE, Models, open_visited_shop, row
from tests.support.services import run_service
from tests.support.shop import Shop, metrics

SHOPPERS = 5


@pytest.fixture
def store(broker: Broker, tmp_path: Path) -> Models:
    """The store of a shop of the test's own."""
    return Models(open_visited_shop(broker), tmp_path / "store")


async def look_together(shop: Shop, first: str, second: str) -> None:
    """Some shoppers look at one product and then at the other."""
    for number in range(SHOPPERS):
        await shop.look_at(f"shopper-{number}", first)
        await shop.look_at(f"shopper-{number}", second)


async def test_a_new_habit_is_recommended_before_any_training(store: Models, tmp_path: Path) -> None:
    shop = store.shop
    await store.publish(store.store(ONE))
    environment = {"EDDY_RECOMMENDER_MODELS": str(tmp_path / "fetched"), "EDDY_LIVE_LEARNING_S": "0.2"}
    with run_service("recommender", shop.settings, tmp_path / "log", environment=environment) as service:
        await shop.look_at("newcomer", "p2")
        before = {item["product_id"]: item["source"] for item in row(service, "newcomer")["items"]}
        assert before.get("p17") != "behaviour"

        await look_together(shop, "p2", "p17")

        async def check_recommended() -> None:
            answer = row(service, "newcomer")
            found = {item["product_id"]: item["source"] for item in answer["items"]}
            assert found.get("p17") == "behaviour"

        await eventually(check_recommended)
        assert "eddy_recommender_live_visits" in metrics(service)


async def test_what_was_done_before_the_start_counts_after_it(store: Models, tmp_path: Path) -> None:
    shop = store.shop
    await store.publish(store.store(ONE))
    await look_together(shop, "p2", "p17")
    await shop.look_at("newcomer", "p2")
    environment = {"EDDY_RECOMMENDER_MODELS": str(tmp_path / "fetched"), "EDDY_LIVE_LEARNING_S": "0.2"}
    with run_service("recommender", shop.settings, tmp_path / "log", environment=environment) as service:

        async def check_recommended() -> None:
            found = {item["product_id"]: item["source"] for item in row(service, "newcomer")["items"]}
            assert found.get("p17") == "behaviour"

        await eventually(check_recommended)
