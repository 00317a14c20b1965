"""Folders that are there whole or not at all, whatever is killed while they are written."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

PREFIX: Final = ".eddy-part-"


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` (made where it is missing) for the block, gone afterwards.

    It is locked as long as this process lives, so that `clean` tells it from what a killed one has left.
    """
    clean(parent)
    folder, lock = _locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def becoming(target: Path) -> Iterator[Path]:
    """A folder that takes the place of `target` when the block ends well, on disk and whole.

    Raises FileExistsError when `target` is there by then.
    """
    with scratch(target.parent) as folder:
        yield folder
        for path in folder.iterdir():
            _sync(path)
        _sync(folder)
        if target.exists():  # an empty folder would be replaced silently
            raise FileExistsError(f"{target} is there already")
        folder.rename(target)
        _sync(target.parent)


def clean(parent: Path) -> list[Path]:
    """Removes what killed processes left in `parent`; returns the folders removed."""
    parent.mkdir(parents=True, exist_ok=True)
    return [folder for folder in parent.glob(f"{PREFIX}*") if _removed(folder)]


def _locked(parent: Path) -> tuple[Path, int]:
    """A folder of our own and the descriptor that holds its lock."""
    while True:
        folder = parent / f"{PREFIX}{uuid4().hex}"
        folder.mkdir()
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody cleaned up between the two lines


def _removed(folder: Path) -> bool:
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
