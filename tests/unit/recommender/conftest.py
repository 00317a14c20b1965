"""The small shop, with and without a model of what its visitors did."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.model.learned import behaviour
from tests.unit.recommender.shop import PAST, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "index")
    yield shop
    shop.index.close()


@pytest.fixture
def learned(shop: Shop) -> Shop:
    """The shop with a model of what its visitors did."""
    shop.model = behaviour(PAST)
    return shop
