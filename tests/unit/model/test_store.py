"""A store of versions: the same on a local folder and on an object store (fsspec's own, in memory)."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from services.model import store
from services.model.artifact import ArtifactRefused, load, write
from services.model.store import KEPT, ModelStore, StoreFailed
from tests.support.artifacts import ARRAYS, TEXTS, manifest

FIRST, SECOND = "20241123T041507Z-3f9a", "20241124T041507Z-3f9a"


@pytest.fixture(params=["folder", "relative", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a store may be."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a store [ä] * of models"
    yield {
        "folder": str(folder),
        "relative": "store/",
        "file": f"file://{folder}",
        "memory": f"memory://{uuid4().hex}",
    }[request.param]
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def models(url: str) -> ModelStore:
    """An empty store."""
    return ModelStore(url, "behaviour")


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, str]:
    """An artifact that is not in the store yet, and its digest."""
    folder = tmp_path / "made"
    return folder, write(folder, ARRAYS, TEXTS, manifest())


def test_an_empty_store_has_no_versions(models: ModelStore) -> None:
    assert models.versions() == []
    assert models.latest() is None


def test_the_size_of_a_store_is_that_of_its_own_versions(url: str, artifact: tuple[Path, str]) -> None:
    assert store.size_of(url) is None
    folder, _ = artifact
    whole = sum(each.stat().st_size for each in folder.iterdir())
    ModelStore(url, "behaviour").upload(folder, FIRST)
    ModelStore(url, "other").upload(folder, FIRST)
    ModelStore(f"{url.rstrip('/')}/shop-a.", "behaviour").upload(folder, FIRST)  # another tenant's
    assert store.size_of(url) == 2 * whole
    assert store.size_of(f"{url.rstrip('/')}/shop-a.") == whole


def test_what_was_uploaded_is_fetched(models: ModelStore, artifact: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = artifact
    for version in (SECOND, FIRST):
        assert models.upload(folder, version) == models.location(version)
    assert models.versions() == [FIRST, SECOND]
    assert models.latest() == SECOND
    assert models.manifest(FIRST)[1] == digest
    found = store.fetch(models.location(SECOND), digest, tmp_path / "cache")
    assert found.digest == digest
    assert found.texts == TEXTS
    assert store.check(models.location(FIRST), digest, tmp_path / "work") == found.manifest
    assert not list((tmp_path / "work").iterdir())


def test_a_version_never_changes(models: ModelStore, artifact: tuple[Path, str]) -> None:
    models.upload(artifact[0], FIRST)
    with pytest.raises(StoreFailed, match="is there already"):
        models.upload(artifact[0], FIRST)


def test_a_store_that_can_be_written_is_left_as_it_was(models: ModelStore) -> None:
    models.require_writable()
    assert models.versions() == []
    fs, root = fsspec.core.url_to_fs(models.location(""))
    assert not fs.exists(root) or not fs.ls(root)


def test_what_has_no_manifest_is_no_version(models: ModelStore, artifact: tuple[Path, str]) -> None:
    models.upload(artifact[0], FIRST)
    fs, root = fsspec.core.url_to_fs(models.location(SECOND))
    fs.makedirs(root, exist_ok=True)
    fs.pipe_file(f"{root}/vectors.npy", b"half")
    assert models.versions() == [FIRST]


def test_a_changed_byte_in_the_store_is_refused_by_name(
    models: ModelStore, artifact: tuple[Path, str], tmp_path: Path
) -> None:
    folder, digest = artifact
    location = models.upload(folder, FIRST)
    fs, root = fsspec.core.url_to_fs(location)
    whole = fs.cat_file(f"{root}/vectors.npy")
    for spoilt in (whole[:-1], whole[:-1] + b"x"):
        fs.pipe_file(f"{root}/vectors.npy", spoilt)
        for refused in (store.fetch, store.check):
            with pytest.raises(ArtifactRefused, match=rf"{FIRST}/vectors\.npy: "):
                refused(location, digest, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    fs.rm(f"{root}/vectors.npy")
    with pytest.raises(ArtifactRefused, match=r"vectors\.npy: is missing"):
        store.check(location, digest, tmp_path / "cache")


def test_a_version_that_is_not_there_is_told(models: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match=FIRST):
        models.manifest(FIRST)
    with pytest.raises(StoreFailed, match=FIRST):
        store.fetch(models.location(FIRST), "0" * 64, tmp_path / "cache")


def test_the_cache_is_used_and_mended(models: ModelStore, artifact: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = artifact
    location, cache = models.upload(folder, FIRST), tmp_path / "cache"
    store.fetch(location, digest, cache)
    fs, root = fsspec.core.url_to_fs(location)
    away = f"{root}-away"
    fs.mv(root, away, recursive=True)
    assert store.fetch(location, digest, cache).texts == TEXTS  # without the store

    fs.mv(away, root, recursive=True)
    os.truncate(cache / digest / "vectors.npy", 5)
    assert store.fetch(location, digest, cache).texts == TEXTS
    load(cache / digest, digest)


def test_the_cache_forgets_the_oldest_and_nothing_else(tmp_path: Path) -> None:
    models = ModelStore(str(tmp_path / "store"), "behaviour")
    cache = tmp_path / "cache"
    (cache / "holiday pictures").mkdir(parents=True)
    digests = []
    for number in range(KEPT + 2):
        folder, version = tmp_path / f"{number}", f"2024112{number}T041507Z-3f9a"
        digests.append(write(folder, {}, {"number.txt": str(number)}, manifest()))
        store.fetch(models.upload(folder, version), digests[-1], cache)
        os.utime(cache / digests[-1], (number, number))
    assert {path.name for path in cache.iterdir()} == {*digests[-KEPT:], "holiday pictures"}


def test_a_failed_upload_leaves_no_version(artifact: tuple[Path, str]) -> None:
    models = ModelStore("memory://failing", "behaviour")
    (artifact[0] / "broken.npy").symlink_to("nowhere")
    with pytest.raises(StoreFailed, match="No such file"):
        models.upload(artifact[0], FIRST)
    assert models.versions() == []
    assert not fsspec.filesystem("memory").find("failing")
    (artifact[0] / "broken.npy").unlink()
    models.upload(artifact[0], FIRST)


@pytest.mark.parametrize(
    ("url", "told"),
    [("nosuch://bucket", "nosuch"), ("http://127.0.0.1:9/models", "127.0.0.1:9")],
)
def test_a_store_that_cannot_be_reached_is_told(url: str, told: str) -> None:
    with pytest.raises(StoreFailed, match=told):
        ModelStore(url, "behaviour").versions()


def test_a_store_that_may_not_be_written_is_told(tmp_path: Path, artifact: tuple[Path, str]) -> None:
    (tmp_path / "store").write_text("a file, not a folder")
    models = ModelStore(str(tmp_path / "store"), "behaviour")
    with pytest.raises(StoreFailed, match="store"):
        models.require_writable()
    with pytest.raises(StoreFailed, match="store"):
        models.upload(artifact[0], FIRST)
