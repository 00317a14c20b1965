"""Files and folders that are there whole or not at all, whatever is killed meanwhile; and locks."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

PREFIX: Final = ".eddy-part-"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file, in a folder made where it is missing; until all is on disk, what was there stays.

    Raises OSError. Who is killed meanwhile leaves a hidden file beside it that nobody reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with part.open("xb") as stream:  # the permissions of the process, unlike those of tempfile
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)  # else the new name may be lost with the power


def disk_usage(*folders: Path) -> int:
    """Bytes on disk of all files below these folders; what goes meanwhile is passed over."""
    total = 0
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):
                    # stat counts in blocks of this size, whatever the file system has.
                    total += (Path(place) / name).lstat().st_blocks * 512
    return total


def digest(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def lock(path: Path, refuse: Callable[[str], Exception]) -> Iterator[None]:
    """While the block runs, no other process of this machine holds the lock of this file.

    Raises what `refuse` makes of the number of the process that holds it, and OSError. The kernel lets go of
    the lock when the process ends, however that is; the file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refuse(path.read_text().strip() or "(not known)") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` (made where it is missing) for the block, gone afterwards.

    It is locked as long as this process lives, so that `clean` tells it from what a killed one has left.
    """
    clean(parent)
    folder, lock = _create_locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def write_folder(target: Path) -> Iterator[Path]:
    """A folder that takes the place of `target` when the block ends well, on disk and whole.

    Raises FileExistsError when `target` is there by then.
    """
    with scratch(target.parent) as folder:
        yield folder
        for path in folder.iterdir():
            sync(path)
        sync(folder)
        if target.exists():  # an empty folder would be replaced silently
            raise FileExistsError(f"{target} is there already")
        folder.rename(target)
        sync(target.parent)


def clean(parent: Path) -> list[Path]:
    """Removes what killed processes left in `parent`; returns the folders removed."""
    parent.mkdir(parents=True, exist_ok=True)
    return [folder for folder in parent.glob(f"{PREFIX}*") if _try_remove(folder)]


def _create_locked(parent: Path) -> tuple[Path, int]:
    """A folder of our own and the descriptor that holds its lock."""
    while True:
        folder = parent / f"{PREFIX}{uuid4().hex}"
        folder.mkdir()
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody cleaned up between the two lines


def _try_remove(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # another process removed it
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    except BlockingIOError:  # its writer lives
        return False
    finally:
        os.close(lock)


def sync(path: Path) -> None:
    """Returns once a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
