"""The files of an archive, wherever fsspec reaches: a local folder, s3://, gs:// and others.

`<url>/<topic>/day=2026-11-01/part-….parquet`, and `<url>/<topic>/_exports/<export>.json`, which is written
last. What no manifest names is no part of the archive. Names that begin with _ are passed over by those who
read the folders as one table.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.topics import Topic
from services.archive.manifest import (
    ArchivedFile,
    ArchiveRefused,
    ExportManifest,
    encode_export,
    parse_export,
)
from services.files import sync, write_atomically
from services.model.store import StoreFailed

EXPORTS: Final = "_exports"
BLOCK: Final = 4 * 1024 * 1024
RESTORE: Final = "restore it from a copy, or export again what is still on the topic into another folder"


class ArchiveStore:
    """One archive. Every method blocks and raises StoreFailed for whatever goes wrong in the store."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. `url` is a local path or an fsspec URL."""
        self.url = url.rstrip("/") or "/"
        with self._translate_errors():
            fs, root = fsspec.core.url_to_fs(self.url)
            self._fs: Any = fs
            self._root = str(root).rstrip("/")

    @property
    def location(self) -> str:
        """The archive's whole address, however it was named."""
        return str(self._fs.unstrip_protocol(self._root))

    def manifests(self, topic: Topic) -> list[ExportManifest]:
        """All whole exports of a topic, the oldest first. Raises ArchiveRefused for a spoiled manifest."""
        folder = f"{self._root}/{topic.name}/{EXPORTS}"
        with self._translate_errors():
            self._fs.invalidate_cache()  # object stores' listings are remembered
            try:
                paths = sorted(self._fs.ls(folder, detail=False))
            except FileNotFoundError:
                return []
            return [
                parse_export(self._fs.cat_file(path), self._display(path), topic)
                for path in paths
                if path.endswith(".json")
            ]

    def require_writable(self, topic: Topic) -> None:
        """Tries whether something can be put here, so that a long reading is not for nothing."""
        probe = f"{self._root}/{topic.name}/{EXPORTS}/.eddy-writable-{uuid4().hex}"
        with self._translate_errors():
            if isinstance(self._fs, LocalFileSystem):
                self._fs.makedirs(str(Path(probe).parent), exist_ok=True)
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)

    def put(self, topic: Topic, name: str, local: Path) -> None:
        """Copies a finished file to its place. It counts once its manifest is there."""
        path = f"{self._root}/{topic.name}/{name}"
        with self._translate_errors():
            if not isinstance(self._fs, LocalFileSystem):
                self._fs.put_file(str(local), path)
                return
            self._fs.makedirs(str(Path(path).parent), exist_ok=True)
            self._fs.put_file(str(local), path)
            sync(Path(path))
            sync(Path(path).parent)

    def commit(self, topic: Topic, manifest: ExportManifest) -> str:
        """Makes an export part of the archive, in one step; returns where its manifest is."""
        path = f"{self._root}/{topic.name}/{EXPORTS}/{manifest.export_id}.json"
        with self._translate_errors():
            if isinstance(self._fs, LocalFileSystem):
                write_atomically(Path(path), encode_export(manifest))
            else:
                self._fs.pipe_file(
                    path, encode_export(manifest)
                )  # stores of objects have it whole or not at all
        return self._display(path)

    def withdraw(self, topic: Topic, export_id: str) -> int:
        """Removes what an export that was not finished has left; returns how many files."""
        with self._translate_errors():
            found = [path for path in self._parts(topic) if f"/part-{export_id}-" in path]
            for path in found:
                self._fs.rm_file(path)
                if isinstance(self._fs, LocalFileSystem):
                    with suppress(OSError):  # other exports have files of that day
                        Path(path).parent.rmdir()
        return len(found)

    def strays(self, topic: Topic, manifests: Iterable[ExportManifest]) -> list[str]:
        """Names of files that no manifest names: of exports under way, or killed on another machine."""
        known = {file.name for manifest in manifests for file in manifest.files}
        with self._translate_errors():
            names = ["/".join(PurePosixPath(path).parts[-2:]) for path in self._parts(topic)]
        return sorted(set(names) - known)

    def check(self, topic: Topic, file: ArchivedFile) -> None:
        """Reads a file's bytes where it lies. Raises ArchiveRefused when they are not what was written."""
        path = f"{self._root}/{topic.name}/{file.name}"
        with (
            self._translate_errors(),
            self._there(path),
            self._fs.open(path, "rb", cache_type="readahead") as stream,
        ):
            self._compare(path, file, stream)

    @contextmanager
    def fetch(self, topic: Topic, file: ArchivedFile, folder: Path) -> Iterator[Path]:
        """The file on this machine, verified, for the block; from elsewhere it is copied into `folder`.

        Raises ArchiveRefused.
        """
        path = f"{self._root}/{topic.name}/{file.name}"
        is_here = isinstance(self._fs, LocalFileSystem)
        local = Path(path) if is_here else folder / f"{file.sha256}.parquet"
        try:
            with self._translate_errors(), self._there(path):
                if not is_here:
                    self._fs.get_file(path, str(local))
                with local.open("rb") as stream:
                    self._compare(path, file, stream)
            yield local
        finally:
            if not is_here:
                local.unlink(missing_ok=True)

    def display_name(self, topic: Topic, file: ArchivedFile) -> str:
        """A file as people and messages call it."""
        return self._display(f"{self._root}/{topic.name}/{file.name}")

    def _parts(self, topic: Topic) -> list[str]:
        self._fs.invalidate_cache()
        return [path for path in self._fs.find(f"{self._root}/{topic.name}") if path.endswith(".parquet")]

    def _compare(self, path: str, file: ArchivedFile, stream: BinaryIO) -> None:
        found, size = sha256(), 0
        while block := stream.read(BLOCK):
            found.update(block)
            size += len(block)
        if (size, found.hexdigest()) != (file.size, file.sha256):
            raise ArchiveRefused(
                f"{self._display(path)} is spoiled: its {size:,} bytes are not the {file.size:,} "
                f"that were written; {RESTORE}"
            )

    @contextmanager
    def _there(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ArchiveRefused(f"{self._display(path)} is missing: {RESTORE}") from None

    def _display(self, path: str) -> str:
        return path if isinstance(self._fs, LocalFileSystem) else str(self._fs.unstrip_protocol(path))

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Each back end has exceptions of its own (botocore's are not even OSErrors): one is made of them."""
        try:
            yield
        except (StoreFailed, ArchiveRefused):
            raise
        except Exception as error:
            raise StoreFailed(f"archive {self.url}: {str(error) or type(error).__name__}") from error
