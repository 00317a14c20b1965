"""The versions of a model store as `models list` tells them: whole or broken, released or not."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import fsspec
import msgspec

from schemas.models import VERSION, Manifest, Metrics, ModelRelease
from schemas.unreadable import Unreadable
from services.model import store
from services.model.artifact import ArtifactRefused
from services.model.store import ModelStore, StoreFailed

IS_VERSION: Final = re.compile(VERSION)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version. `number` counts from 1, the oldest; `broken` is why it cannot serve. Times are Unix ms."""

    number: int
    version: str
    location: str
    state: str
    digest: str | None = None
    created_at: int | None = None
    since: int | None = None
    until: int | None = None
    counts: Mapping[str, int] = {}
    hr_20: float | None = None
    mrr_20: float | None = None
    cases: int | None = None
    bytes: int | None = None
    gate: str | None = None
    reasons: tuple[str, ...] = ()
    broken: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What is released under another model's name."""

    name: str
    version: str | None
    released_at: int | None
    gate: str | None
    location: str | None
    unreadable: str | None = None


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """All of one model. `served` is what a recommender says that it serves."""

    name: str
    store: str
    versions: tuple[Version, ...]
    released: str | None
    previous: str | None
    served: str | None
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()

    def find(self, wanted: str) -> Version | None:
        """By number or by name."""
        return next((each for each in self.versions if wanted in (str(each.number), each.version)), None)


def list_versions(
    models_store: ModelStore, release: ModelRelease | None, *, work: Path | None
) -> tuple[Version, ...]:
    """All that lie in the store, the oldest first; with a folder to work in, every byte of each is verified.

    Raises StoreFailed.
    """
    return tuple(
        _inspect(number, name, models_store, release, work)
        for number, name in enumerate(names(models_store), start=1)
    )


def names(models_store: ModelStore) -> list[str]:
    """Of everything that calls itself a version, also of what has no manifest. Raises StoreFailed."""
    whole = models_store.versions()  # refreshes what fsspec remembers, and tells what goes wrong
    root = models_store.location("").rstrip("/")
    fs, path = fsspec.core.url_to_fs(root)
    try:
        there = [PurePosixPath(each).name for each in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []
    except Exception as error:  # each back end has exceptions of its own
        raise StoreFailed(f"model store {root}: {error}") from error
    return sorted({*whole, *(name for name in there if IS_VERSION.match(name))})


def lines(newest: Mapping[str, ModelRelease | Unreadable], but: str) -> tuple[Line, ...]:
    """Of the newest messages on `models`, those of other names."""
    return tuple(_line(name, release) for name, release in sorted(newest.items()) if name != but)


def _line(name: str, release: ModelRelease | Unreadable) -> Line:
    if isinstance(release, Unreadable):
        return Line(
            name=name, version=None, released_at=None, gate=None, location=None, unreadable=str(release)
        )
    return Line(
        name=name,
        version=release.version,
        released_at=release.released_at,
        gate=release.gate.outcome,
        location=release.location,
    )


def _inspect(
    number: int, name: str, models_store: ModelStore, release: ModelRelease | None, work: Path | None
) -> Version:
    location, state = models_store.location(name), state_of(name, release)
    try:
        manifest, digest = models_store.manifest(name)
    except (ArtifactRefused, StoreFailed) as error:
        return Version(number=number, version=name, location=location, state=state, broken=str(error))
    try:
        broken = _mismatch(manifest, digest, name, release) or _damage(manifest, digest, location, work)
    except (ArtifactRefused, StoreFailed) as error:
        broken = str(error)
    measured: Metrics | None = manifest.metrics
    is_released = release is not None and release.version == name
    return Version(
        number=number,
        version=name,
        location=location,
        state=state,
        digest=digest,
        created_at=manifest.created_at,
        since=manifest.data.since,
        until=manifest.data.until,
        counts=dict(manifest.counts),
        hr_20=measured.hr_20 if measured else None,
        mrr_20=measured.mrr_20 if measured else None,
        cases=measured.cases if measured else None,
        bytes=sum(file.bytes for file in manifest.files.values()),
        gate=release.gate.outcome if release and is_released else None,
        reasons=release.gate.reasons if release and is_released else (),
        broken=broken,
    )


def state_of(name: str, release: ModelRelease | None) -> str:
    """Released, previous (what a rollback goes back to), or in the store only."""
    if release is not None and release.version == name:
        return "released"
    if release is not None and release.previous is not None and release.previous.version == name:
        return "previous"
    return "stored"


def _mismatch(manifest: Manifest, digest: str, name: str, release: ModelRelease | None) -> str | None:
    """Why a whole version is not the one that it should be."""
    if manifest.version != name:
        return f"holds {manifest.version}, not what it is called"
    known = (release.released, release.previous) if release is not None else ()
    expected = {each.version: each.digest for each in known if each is not None}.get(name, digest)
    if expected != digest:
        return f"has changed since it was released: its digest is {digest}, expected {expected}"
    return None


def _damage(manifest: Manifest, digest: str, location: str, work: Path | None) -> str | None:
    """What is wrong with the files: with `work` every byte is read, else they are told by their sizes."""
    if work is not None:
        store.check(location, digest, work)
        return None
    fs, root = fsspec.core.url_to_fs(location)
    try:
        sizes = {PurePosixPath(each["name"]).name: each["size"] for each in fs.ls(root, detail=True)}
    except Exception as error:  # each back end has exceptions of its own
        raise StoreFailed(f"model store {location}: {error}") from error
    for name, file in sorted(manifest.files.items()):
        if name not in sizes:
            return f"{name} is missing"
        if sizes[name] != file.bytes:
            return f"{name} has {sizes[name]:,} bytes, expected {file.bytes:,}"
    return None
