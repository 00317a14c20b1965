"""Versions of one model in a store that fsspec reaches: a local folder, s3://, gs:// and others."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.models import VERSION, Manifest
from services.errors import OperationFailed
from services.files import scratch, write_folder
from services.model.artifact import MANIFEST, Artifact, ArtifactRefused, load, parse_manifest

IS_VERSION: Final = re.compile(VERSION)
IS_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
PROBE: Final = ".eddy-writable"
KEPT: Final = 4  # versions in a cache: the one that serves, the one before, and room for another process


class StoreFailed(OperationFailed):
    """The store cannot be reached, or does not have what was asked of it; the text says which and why."""


class ModelStore:
    """One folder a version under `<url>/<name>/`. A version without a manifest is not there yet.

    Every method blocks and raises StoreFailed for whatever goes wrong in the store.
    """

    def __init__(self, url: str, name: str) -> None:
        """Connects to nothing yet. `url` is a local path or an fsspec URL."""
        self._url = f"{url.rstrip('/')}/{name}"
        self._fs, self._root = _open_location(self._url)

    def location(self, version: str) -> str:
        """Where a version is or will be, as the topic `models` names it."""
        return str(self._fs.unstrip_protocol(f"{self._root}/{version}"))

    def versions(self) -> list[str]:
        """All that are there whole, the oldest first."""
        with _translate_errors(self._url):
            self._fs.invalidate_cache()  # object stores' listings are remembered
            try:
                paths = self._fs.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
            names = [PurePosixPath(path).name for path in paths]
            return sorted(name for name in names if IS_VERSION.match(name) and self._has_manifest(name))

    def latest(self) -> str | None:
        """The newest version, or None in an empty store."""
        return max(self.versions(), default=None)

    def require_writable(self) -> None:
        """Tries whether something can be put here, so that hours of work are not for nothing."""
        probe = f"{self._root}/{PROBE}-{uuid4().hex}"
        with _translate_errors(self._url):
            if isinstance(self._fs, LocalFileSystem):
                self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)

    def upload(self, folder: Path, version: str) -> str:
        """Puts an artifact's folder into the store; returns its location.

        The version is there when all of it is: the manifest goes last, and a local store gets it in one
        rename. Versions never change: one that is there already is refused.
        """
        with _translate_errors(self._url):
            self._fs.invalidate_cache()
            if self._has_manifest(version):
                raise StoreFailed(f"{self.location(version)} is there already")
            if isinstance(self._fs, LocalFileSystem):
                with write_folder(Path(self._root) / version) as part:
                    shutil.copytree(folder, part, dirs_exist_ok=True)
            else:
                self._put(folder, f"{self._root}/{version}")
        return self.location(version)

    def manifest(self, version: str) -> tuple[Manifest, str]:
        """A version's manifest and its digest. Raises ArtifactRefused for one that is none."""
        return manifest_at(self.location(version))

    def _has_manifest(self, version: str) -> bool:
        return bool(self._fs.exists(f"{self._root}/{version}/{MANIFEST}"))

    def _put(self, folder: Path, target: str) -> None:
        try:
            for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
                self._fs.put_file(str(path), f"{target}/{path.name}")
        except BaseException:
            self._forget(target)
            raise

    def _forget(self, target: str) -> None:
        """Takes back what was uploaded; what stays has no manifest and is no version."""
        with suppress(Exception):
            self._fs.rm(target, recursive=True)


def manifest_at(location: str) -> tuple[Manifest, str]:
    """The manifest of the version at a location, and its digest. Raises StoreFailed, ArtifactRefused."""
    fs, root = _open_location(location)
    path = f"{location}/{MANIFEST}"
    with _translate_errors(location):
        return parse_manifest(fs.cat_file(f"{root}/{MANIFEST}"), path)


def size_of(url: str) -> int | None:
    """Bytes of all versions of all models in a store, by its listing; None where nothing is there.

    Folders of other tenants in it, which have no versions at that depth, are none of it. Raises StoreFailed.
    """
    fs, root = _open_location(url)
    with _translate_errors(url):
        fs.invalidate_cache()
        files: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    parts = ((PurePosixPath(path).relative_to(root).parts, each) for path, each in files.items())
    sizes = [int(each["size"]) for (_, *below), each in parts if below and IS_VERSION.match(below[0])]
    return sum(sizes) if sizes else None


def fetch(location: str, digest: str, cache: Path) -> Artifact:
    """The version at a location, verified, from the local folder `cache`, where it stays for the next time.

    What is in the cache and whole is not fetched again; what is not whole is replaced. A half-fetched version
    is never seen. Raises StoreFailed, and ArtifactRefused for a version that is not as its digest says.
    """
    target = cache / digest
    try:
        artifact = load(target, digest)
    except ArtifactRefused:
        shutil.rmtree(target, ignore_errors=True)
        artifact = _fetch_into(location, digest, target)
    os.utime(target)
    _forget_oldest(cache)
    return artifact


def _fetch_into(location: str, digest: str, target: Path) -> Artifact:
    try:
        with write_folder(target) as part:
            _load_verified(location, digest, part)
    except FileExistsError:  # another process was faster
        pass
    return load(target, digest)


def check(location: str, digest: str, work: Path) -> Manifest:
    """Verifies every byte of the version in the store itself, whatever a cache holds; returns its manifest.

    `work` is a local folder for the time being. Raises StoreFailed, ArtifactRefused.
    """
    with scratch(work) as folder:
        return _load_verified(location, digest, folder).manifest


def _load_verified(location: str, digest: str, folder: Path) -> Artifact:
    download(location, folder)
    try:
        return load(folder, digest)
    except ArtifactRefused as error:
        raise ArtifactRefused(f"{location}/{error.name}", error.reason) from None


def _forget_oldest(cache: Path) -> None:
    """A service that runs for months gets a version a day. What is mapped stays readable when removed."""
    with suppress(FileNotFoundError):  # another process forgets at the same time
        versions = [folder for folder in cache.iterdir() if IS_DIGEST.fullmatch(folder.name)]
        for folder in sorted(versions, key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


def download(location: str, folder: Path) -> None:
    """Copies the files of a version that its manifest names, and the manifest, into a local folder.

    Raises StoreFailed, and ArtifactRefused when the manifest is none or a file is missing.
    """
    fs, root = _open_location(location)
    with _translate_errors(location):
        fs.get_file(f"{root}/{MANIFEST}", str(folder / MANIFEST))
        manifest, _ = parse_manifest((folder / MANIFEST).read_bytes(), f"{location}/{MANIFEST}")
        for name in sorted(manifest.files):
            if not fs.exists(f"{root}/{name}"):
                raise ArtifactRefused(f"{location}/{name}", "is missing")
            fs.get_file(f"{root}/{name}", str(folder / name))


def _open_location(location: str) -> tuple[Any, str]:
    with _translate_errors(location):
        fs, root = fsspec.core.url_to_fs(location)
        return fs, str(root)


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    """Each back end has exceptions of its own (botocore's are not even OSErrors): one is made of them."""
    try:
        yield
    except (StoreFailed, ArtifactRefused):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError):
            reason = f"not found: {reason}"
        raise StoreFailed(f"model store {where}: {reason}") from error
