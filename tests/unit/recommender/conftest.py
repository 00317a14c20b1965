"""The small shop, with and without a model of what its visitors did."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import behaviour
from tests.support.pipeline import PAST, PipelineShop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PipelineShop]:
    shop = PipelineShop(tmp_path / "index")
    yield shop
    shop.index.close()


@pytest.fixture
def model_shop(shop: PipelineShop) -> PipelineShop:
    """The shop with a model of what its visitors did."""
    shop.model = behaviour(PAST)
    return shop
