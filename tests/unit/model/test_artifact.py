"""An artifact is whole, or it is refused with the file and the reason."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model.artifact import ArtifactRefused, load, read_manifest, write
from tests.support.artifacts import ARRAYS, TEXTS, VERSION, manifest
from tests.support.examples import examples


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, str]:
    """A whole artifact, and its digest."""
    folder = tmp_path / VERSION
    return folder, write(folder, ARRAYS, TEXTS, manifest())


def test_what_was_written_is_read(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    found = load(folder, digest)
    assert found.digest == digest
    assert found.texts == TEXTS
    assert found.manifest.parameters == manifest().parameters
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)
    assert not list(folder.parent.glob(".*"))


def test_arrays_are_mapped_and_nobody_can_write_to_them(artifact: tuple[Path, str]) -> None:
    vectors = load(*artifact).arrays["vectors"]
    assert isinstance(vectors, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        vectors[0] = 1


def test_the_same_content_has_the_same_digest(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    again = folder.parent / "again"
    assert write(again, dict(reversed(list(ARRAYS.items()))), TEXTS, manifest()) == digest
    assert read_manifest(again)[1] == digest


@pytest.mark.parametrize("name", ["vectors.npy", "empty.npy", "items.json", "manifest.json"])
@pytest.mark.parametrize("cut", [1, 10])
def test_a_cut_file_is_refused_by_name(artifact: tuple[Path, str], name: str, cut: int) -> None:
    folder, digest = artifact
    path = folder / name
    os.truncate(path, path.stat().st_size - cut)
    with pytest.raises(ArtifactRefused, match=name) as refused:
        load(folder, digest)
    assert refused.value.name == name


@pytest.mark.parametrize("name", ["vectors.npy", "items.json", "manifest.json"])
def test_a_byte_more_is_refused_by_name(artifact: tuple[Path, str], name: str) -> None:
    folder, digest = artifact
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ArtifactRefused, match=name):
        load(folder, digest)


def test_any_changed_bit_is_refused_by_name(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    files = sorted(folder.iterdir())

    @given(st.sampled_from(files), st.data())
    @examples(100)
    def check_refused(path: Path, data: st.DataObject) -> None:
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        with pytest.raises(ArtifactRefused, match=path.name):
            load(folder, digest)
        path.write_bytes(whole)

    check_refused()
    load(folder, digest)


def test_a_missing_file_is_refused_by_name(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    (folder / "counts.npy").unlink()
    with pytest.raises(ArtifactRefused, match=r"counts\.npy: is missing"):
        load(folder)


def test_a_foreign_file_is_refused_by_name(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(ArtifactRefused, match=r"model\.pkl: is foreign"):
        load(folder)


def test_another_version_is_refused(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    with pytest.raises(ArtifactRefused, match=f"manifest.json: its sha256 is {digest}, expected {'0' * 64}"):
        load(folder, "0" * 64)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "is no manifest"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "is no manifest"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), "no such folder"),
    ],
)
def test_a_folder_without_a_good_manifest_is_refused(
    artifact: tuple[Path, str], spoil: Callable[[Path], object], told: str
) -> None:
    spoil(artifact[0])
    with pytest.raises(ArtifactRefused, match=told):
        load(artifact[0])


@pytest.mark.parametrize("name", ["../secret.npy", "/etc/passwd.npy", "manifest.json", "model.pkl", ".x.npy"])
def test_a_manifest_names_nothing_outside_its_folder(artifact: tuple[Path, str], name: str) -> None:
    path = artifact[0] / "manifest.json"
    told = json.loads(path.read_text())
    told["files"][name] = told["files"]["vectors.npy"]
    path.write_text(json.dumps(told))
    with pytest.raises(ArtifactRefused, match="which no artifact has"):
        load(artifact[0])


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="pickle"):
        write(tmp_path / "a", {"objects": objects}, {}, manifest())
    assert not list(tmp_path.iterdir())

    write(tmp_path / "b", {"objects": ARRAYS["vectors"]}, {}, manifest())
    path = tmp_path / "b" / "objects.npy"
    np.save(path, objects, allow_pickle=True)
    told = json.loads((tmp_path / "b" / "manifest.json").read_text())
    told["files"]["objects.npy"] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(ArtifactRefused, match=r"objects\.npy: is no array"):
        load(tmp_path / "b")


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arrays", "texts"),
    [(["Vectors"], []), (["a/b"], []), ([""], []), ([], ["items"]), ([], ["a.npy"]), ([], ["manifest.json"])],
)
def test_names_that_are_none_are_refused(tmp_path: Path, arrays: list[str], texts: list[str]) -> None:
    with pytest.raises(ValueError, match="not a name"):
        write(
            tmp_path / "a",
            dict.fromkeys(arrays, ARRAYS["vectors"]),
            dict.fromkeys(texts, ""),
            manifest(),
        )


def test_a_version_is_never_written_over(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    with pytest.raises(FileExistsError):
        write(folder, {}, {}, manifest())
    load(folder, digest)
    assert not list(folder.parent.glob(".*"))
