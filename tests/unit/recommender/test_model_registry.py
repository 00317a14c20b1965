"""The lines of models: the shop's own always, those that experiments name while they do."""

from pathlib import Path

import pytest

from schemas import models
from schemas.models import ModelRelease
from services.recommender.metrics import Metrics
from services.recommender.serving_models import ModelRegistry, ServedModel
from tests.support.models import store_artifact

OWN, OTHER, NEWER = (f"2024112{day}T041507Z-3f9a" for day in (3, 4, 5))


class Served:
    """Lines that load real models from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.created: list[str] = []
        self.lines = ModelRegistry("behaviour", self.create("behaviour"), self.create)

    def create(self, name: str) -> ServedModel:
        self.created.append(name)
        return ServedModel(self.folder / "cache", self.metrics, name)

    def message(self, version: str) -> bytes:
        release: ModelRelease = store_artifact(self.folder / version, version=version)
        return models.encode(release)

    def version(self, name: str | None) -> str | None:
        model = self.lines.model(name)
        return model.version if model else None

    def read_gauge(self, name: str, version: str) -> float | None:
        labels = {"model": name, "version": version}
        return self.metrics.registry.get_sample_value("eddy_recommender_model_served", labels)


@pytest.fixture
def server(tmp_path: Path) -> Served:
    return Served(tmp_path)


async def test_the_shop_s_own_line_is_followed_by_both_of_its_names(server: Served) -> None:
    assert server.version(None) is None
    server.lines.take_release("behaviour", server.message(OWN))
    await server.lines.wait_until_settled()
    assert server.version(None) == server.version("behaviour") == OWN
    assert server.version("") is None  # no model at all
    assert server.version("other") is None
    server.lines.take_release("behaviour", None)
    await server.lines.wait_until_settled()
    assert server.version(None) is None
    await server.lines.close()


@pytest.mark.parametrize("is_released_first", [True, False])
async def test_another_line_is_served_while_an_experiment_names_it(
    server: Served, is_released_first: bool
) -> None:
    if is_released_first:
        server.lines.take_release("other", server.message(OTHER))
        await server.lines.wait_until_settled()
        assert server.version("other") is None
        assert server.created == ["behaviour"]
        server.lines.follow(["other", "", "other"])
    else:
        server.lines.follow(["other"])
        server.lines.take_release("other", server.message(OTHER))
    await server.lines.wait_until_settled()
    assert server.version("other") == OTHER
    assert server.version(None) is None
    assert server.created == ["behaviour", "other"]
    assert server.read_gauge("other", OTHER) == 1
    server.lines.follow([])
    assert server.version("other") is None
    assert server.read_gauge("other", OTHER) is None
    await server.lines.close()


async def test_a_line_that_is_named_again_serves_what_was_released_meanwhile(server: Served) -> None:
    server.lines.follow(["other"])
    server.lines.take_release("other", server.message(OTHER))
    await server.lines.wait_until_settled()
    server.lines.follow([])
    server.lines.take_release("other", server.message(NEWER))
    server.lines.follow(["other"])
    await server.lines.wait_until_settled()
    assert server.version("other") == NEWER
    await server.lines.close()


async def test_the_shop_s_own_line_stays_whatever_experiments_name(server: Served) -> None:
    server.lines.take_release("behaviour", server.message(OWN))
    await server.lines.wait_until_settled()
    server.lines.follow(["other"])
    server.lines.follow(["behaviour"])
    server.lines.follow([])
    assert server.version(None) == OWN
    assert server.created == ["behaviour", "other"]
    await server.lines.close()
    assert server.version(None) == OWN


async def test_a_removed_release_is_forgotten_for_a_line_that_is_followed_later(server: Served) -> None:
    server.lines.take_release("other", server.message(OTHER))
    server.lines.take_release("other", None)
    server.lines.follow(["other"])
    await server.lines.wait_until_settled()
    assert server.version("other") is None
    await server.lines.close()
