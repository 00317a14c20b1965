"""An artifact: one folder of arrays and small texts with a manifest of digests, whole or refused."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from schemas.models import File, Manifest, decode_manifest, encode_manifest
from services.errors import OperationFailed
from services.files import digest, write_folder

Arrays = Mapping[str, npt.NDArray[Any]]

MANIFEST: Final = "manifest.json"
ARRAY: Final = ".npy"
# Names that mean one thing on every file system and in every object store.
ARRAY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.(npy|txt|json)")


class ArtifactRefused(OperationFailed):
    """A folder is not the artifact it should be; tells the file and what is wrong with it."""

    def __init__(self, file: Path | str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.name = Path(file).name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded version. `arrays` are read-only and mapped from their files; `texts` go by file name.

    `digest` is the sha256 of the manifest, which holds those of all files: it stands for every byte.
    """

    manifest: Manifest
    digest: str
    arrays: Arrays
    texts: Mapping[str, str]


def write(folder: Path, arrays: Arrays, texts: Mapping[str, str], manifest: Manifest) -> str:
    """Writes a version to `folder`, which appears when all of it is on disk; returns its digest.

    An array becomes `<name>.npy`; a text's key is its file name (.txt or .json). The manifest's `files` are
    filled in here. Raises ValueError for a bad name or an array of objects, FileExistsError when `folder` is
    there already, OSError when the disk is full.
    """
    _require_names(arrays, texts)
    with write_folder(folder) as part:
        for name, array in arrays.items():
            np.save(part / f"{name}{ARRAY}", array, allow_pickle=False)
        for name, text in texts.items():
            (part / name).write_bytes(text.encode())
        files = {path.name: _describe_file(path) for path in part.iterdir()}
        raw = encode_manifest(replace(manifest, files=files))
        (part / MANIFEST).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def load(folder: Path, digest: str | None = None) -> Artifact:
    """The artifact in `folder`, every byte of it verified; with `digest`, also that it is that version.

    Raises ArtifactRefused, naming the file, for whatever is missing, changed, cut off or foreign.
    """
    manifest, found = read_manifest(folder, digest)
    _require_same_files(folder, manifest)
    for name, expected in manifest.files.items():
        _require_same_content(folder / name, expected)
    arrays = {
        name.removesuffix(ARRAY): _map_array(folder / name) for name in manifest.files if name.endswith(ARRAY)
    }
    texts = {name: _text(folder / name) for name in manifest.files if not name.endswith(ARRAY)}
    return Artifact(manifest, found, arrays, texts)


def read_manifest(folder: Path, digest: str | None = None) -> tuple[Manifest, str]:
    """The manifest in `folder` and its digest. Raises ArtifactRefused; the other files are not looked at."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ArtifactRefused(folder, "no such folder")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ArtifactRefused(path, f"cannot be read ({error.strerror})") from None
    return parse_manifest(raw, path, digest)


def parse_manifest(raw: bytes, path: Path | str, digest: str | None = None) -> tuple[Manifest, str]:
    """A manifest and its digest from the file's bytes. Raises ArtifactRefused, naming `path`."""
    found = hashlib.sha256(raw).hexdigest()
    if digest is not None and found != digest:
        raise ArtifactRefused(path, f"its sha256 is {found}, expected {digest}")
    try:
        manifest = decode_manifest(raw)
    except msgspec.MsgspecError as error:
        raise ArtifactRefused(path, f"is no manifest: {error}") from None
    for name in manifest.files:
        if not FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ArtifactRefused(path, f"names a file {name!r}, which no artifact has")
    return manifest, found


def _require_names(arrays: Arrays, texts: Mapping[str, str]) -> None:
    bad = [name for name in arrays if not ARRAY_NAME.fullmatch(name)]
    bad += [
        name
        for name in texts
        if not FILE_NAME.fullmatch(name) or name.endswith(ARRAY) or name == MANIFEST
    ]  # fmt: skip
    if bad:
        raise ValueError(f"not a name for a file of an artifact: {', '.join(map(repr, bad))}")


def _describe_file(path: Path) -> File:
    return File(digest(path), path.stat().st_size)


def _require_same_files(folder: Path, manifest: Manifest) -> None:
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(manifest.files.keys() - present):
        raise ArtifactRefused(folder / name, "is missing")
    for name in sorted(present - manifest.files.keys()):
        raise ArtifactRefused(folder / name, "is foreign: the manifest does not name it")


def _require_same_content(path: Path, expected: File) -> None:
    try:
        size = path.stat().st_size
        if size != expected.bytes:
            raise ArtifactRefused(path, f"has {size} bytes, expected {expected.bytes}")
        found = _describe_file(path)
    except OSError as error:
        raise ArtifactRefused(path, f"cannot be read ({error.strerror})") from None
    if found != expected:
        raise ArtifactRefused(path, f"its sha256 is {found.sha256}, expected {expected.sha256}")


def _map_array(path: Path) -> npt.NDArray[Any]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError) as error:
        raise ArtifactRefused(path, f"is no array: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ArtifactRefused(path, f"is no UTF-8 text: {error.reason} at byte {error.start}") from None
