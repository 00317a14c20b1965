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

    def told(self, name: str, version: str) -> float | None:
        labels = {"model": name, "version": version}
        return self.metrics.registry.get_sample_value("eddy_recommender_model_served", labels)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


async def test_the_shop_s_own_line_is_followed_by_both_of_its_names(served: Served) -> None:
    assert served.version(None) is None
    served.lines.take_release("behaviour", served.message(OWN))
    await served.lines.wait_until_settled()
    assert served.version(None) == served.version("behaviour") == OWN
    assert served.version("") is None  # no model at all
    assert served.version("other") is None
    served.lines.take_release("behaviour", None)
    await served.lines.wait_until_settled()
    assert served.version(None) is None
    await served.lines.close()


@pytest.mark.parametrize("is_released_first", [True, False])
async def test_another_line_is_served_while_an_experiment_names_it(
    served: Served, is_released_first: bool
) -> None:
    if is_released_first:
        served.lines.take_release("other", served.message(OTHER))
        await served.lines.wait_until_settled()
        assert served.version("other") is None
        assert served.created == ["behaviour"]
        served.lines.follow(["other", "", "other"])
    else:
        served.lines.follow(["other"])
        served.lines.take_release("other", served.message(OTHER))
    await served.lines.wait_until_settled()
    assert served.version("other") == OTHER
    assert served.version(None) is None
    assert served.created == ["behaviour", "other"]
    assert served.told("other", OTHER) == 1
    served.lines.follow([])
    assert served.version("other") is None
    assert served.told("other", OTHER) is None
    await served.lines.close()


async def test_a_line_that_is_named_again_serves_what_was_released_meanwhile(served: Served) -> None:
    served.lines.follow(["other"])
    served.lines.take_release("other", served.message(OTHER))
    await served.lines.wait_until_settled()
    served.lines.follow([])
    served.lines.take_release("other", served.message(NEWER))
    served.lines.follow(["other"])
    await served.lines.wait_until_settled()
    assert served.version("other") == NEWER
    await served.lines.close()


async def test_the_shop_s_own_line_stays_whatever_experiments_name(served: Served) -> None:
    served.lines.take_release("behaviour", served.message(OWN))
    await served.lines.wait_until_settled()
    served.lines.follow(["other"])
    served.lines.follow(["behaviour"])
    served.lines.follow([])
    assert served.version(None) == OWN
    assert served.created == ["behaviour", "other"]
    await served.lines.close()
    assert served.version(None) == OWN


async def test_a_removed_release_is_forgotten_for_a_line_that_is_followed_later(served: Served) -> None:
    served.lines.take_release("other", served.message(OTHER))
    served.lines.take_release("other", None)
    served.lines.follow(["other"])
    await served.lines.wait_until_settled()
    assert served.version("other") is None
    await served.lines.close()
