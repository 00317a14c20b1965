"""Which model serves, by what `models` says: the newest sound one; others are refused by name."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from schemas import models
from schemas.models import ModelRelease
from services.recommender.metrics import Metrics
from services.recommender.serving_models import ServedModel
from tests.support.models import release, store_artifact
from tests.support.patience import patiently

FIRST, SECOND, THIRD = (f"2024112{day}T041507Z-3f9a" for day in (3, 4, 5))


class Served:
    """Generations with what they log and count."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.cache = folder / "cache"
        self.generations = ServedModel(self.cache, self.metrics, "behaviour")

    async def after(self, release: ModelRelease | None) -> str | None:
        """The version that serves once the message is dealt with."""
        self.generations.follow(models.encode(release) if release else None)
        await self.generations.wait_until_settled()
        return self.version

    @property
    def version(self) -> str | None:
        return self.generations.model.version if self.generations.model else None

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"eddy_recommender_model_{name}", labels)


@patiently(10, 0.02)
async def serving(served: Served, version: str) -> None:
    """Waits until the store has been asked again."""
    assert served.version == version


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    yield served
    await served.generations.close()


@pytest.fixture
def first(tmp_path: Path) -> ModelRelease:
    return store_artifact(tmp_path / "first", version=FIRST)


@pytest.fixture
def second(tmp_path: Path) -> ModelRelease:
    return store_artifact(tmp_path / "second", version=SECOND)


async def test_nothing_serves_before_a_release(server: Served) -> None:
    await server.generations.wait_until_settled()
    assert server.version is None


async def test_the_newest_release_serves_and_is_told(
    server: Served, first: ModelRelease, second: ModelRelease
) -> None:
    assert await server.after(first) == FIRST
    assert server.count("served", model="behaviour", version=FIRST) == 1
    assert await server.after(second) == SECOND
    assert server.count("served", model="behaviour", version=FIRST) is None
    assert server.count("served", model="behaviour", version=SECOND) == 1
    assert server.count("swaps_total") == 2


async def test_the_same_release_again_changes_nothing(server: Served, first: ModelRelease) -> None:
    await server.after(first)
    model = server.generations.model
    await server.after(replace(first, released_at=2))
    assert server.generations.model is model
    assert server.count("swaps_total") == 1


async def test_the_one_before_serves_again_without_store_and_cache(
    server: Served, first: ModelRelease, second: ModelRelease, tmp_path: Path
) -> None:
    await server.after(first)
    model = server.generations.model
    await server.after(second)
    for folder in (tmp_path / "first", server.cache):
        shutil.rmtree(folder)
    assert await server.after(first) == FIRST
    assert server.generations.model is model
    assert await server.after(second) == SECOND


async def test_of_older_ones_none_is_kept(
    server: Served, first: ModelRelease, second: ModelRelease, tmp_path: Path
) -> None:
    for each in (first, second, store_artifact(tmp_path / "third", version=THIRD)):
        await server.after(each)
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(server.cache)
    assert await server.after(first) == THIRD
    assert server.count("store_away_total") == 1


async def test_a_tombstone_ends_it(server: Served, first: ModelRelease) -> None:
    await server.after(first)
    assert await server.after(None) is None
    assert server.count("served", model="behaviour", version=FIRST) is None


async def test_a_changed_byte_is_refused_by_name_and_what_served_goes_on(
    server: Served, first: ModelRelease, second: ModelRelease, tmp_path: Path
) -> None:
    await server.after(first)
    path = tmp_path / "second" / "item2vec_in.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with capture_logs() as logs:
        assert await server.after(second) == FIRST
    [refused] = [each for each in logs if each["event"] == "model refused"]
    assert (refused["version"], refused["file"], refused["serving"]) == (SECOND, "item2vec_in.npy", FIRST)
    assert "its sha256 is" in refused["reason"]
    assert server.count("refused_total") == 1
    path.write_bytes(whole)
    assert await server.after(second) == SECOND


async def test_what_is_no_release_is_refused(server: Served, first: ModelRelease) -> None:
    await server.after(first)
    server.generations.follow(b"rubbish")
    await server.generations.wait_until_settled()
    assert server.version == FIRST
    assert server.count("refused_total") == 1


async def test_a_store_that_is_away_is_asked_again_until_it_gives_the_model(
    server: Served, first: ModelRelease, second: ModelRelease, tmp_path: Path
) -> None:
    away = tmp_path / "second"
    away.rename(tmp_path / "away")
    await server.after(first)
    with capture_logs() as logs:
        assert await server.after(second) == FIRST
    [told] = [each for each in logs if "asking again" in each["event"]]
    assert (told["version"], told["in_s"], told["serving"]) == (SECOND, 1, FIRST)
    assert (server.count("store_away_total"), server.count("refused_total")) == (1, 0)
    (tmp_path / "away").rename(away)
    await serving(server, SECOND)


async def test_a_newer_release_is_not_kept_waiting_by_one_whose_store_is_away(
    server: Served, first: ModelRelease, tmp_path: Path
) -> None:
    await server.after(release(tmp_path / "nowhere", "0" * 64, SECOND))
    assert await server.after(first) == FIRST
