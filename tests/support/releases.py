"""The code of the release before, beside this checkout's: out of git's history, in the same environment."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from infra.stack.broker import ROOT
from services.files import write_folder

CHANGELOG: Final = ROOT / "infra" / "docs" / "changelog.md"
HEADING: Final = re.compile(
    r"^## (\d+\.\d+\.\d+)(?:, (\d{4}-\d\d-\d\d), commit `([0-9a-f]{40})`)?$", re.MULTILINE
)
TREES: Final = ROOT / "build" / "releases"  # kept: what is compiled for a tree is compiled once
LOCK: Final = "requirements.lock"
PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Release:
    """One of the changelog. `commit` and `date` are None of the one that is being made."""

    version: str
    date: str | None
    commit: str | None


@cache
def releases() -> tuple[Release, ...]:
    """Those of the changelog, the newest first."""
    return tuple(
        Release(version, date or None, commit or None)
        for version, date, commit in HEADING.findall(CHANGELOG.read_text())
    )


def release_before() -> Release:
    """The newest that was released before this code."""
    return next(each for each in releases()[1:] if each.commit)


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


def tree_of(release: Release) -> Path:
    """The release's code in a folder of its own, compiled; skips, and says why, where it cannot be had."""
    commit = str(release.commit)
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        pytest.skip(
            f"the code of {release.version} ({commit[:7]}) is not in this clone, which has no whole history: "
            "`git fetch --unshallow`, then again"
        )
    if others := find_other_packages(commit):
        pytest.skip(f"{release.version} was made for other packages than are installed: {', '.join(others)}")
    if not (tree := TREES / commit).is_dir():
        with write_folder(tree) as part:
            archive = _git("archive", commit).stdout
            subprocess.run(["tar", "-x", "-C", str(part)], input=archive, check=True)
    # As `make setup` does: nothing waits for numba at a start.
    warm_up = [sys.executable, "-m", "services.recommender.pipeline.warmup"]
    subprocess.run(warm_up, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, check=True)
    return tree


def find_other_packages(commit: str) -> list[str]:
    """What that release pins to another version than this checkout, or this one lacks. More is no harm."""
    before = PINNED.findall(_git("show", f"{commit}:{LOCK}").stdout.decode())
    now = dict(PINNED.findall((ROOT / LOCK).read_text()))
    return [f"{name} {version}" for name, version in before if now.get(name) != version]
