"""The code of the release before, which all tests here run beside this one."""

from pathlib import Path

import pytest

from tests.support.releases import release_before, tree_of


@pytest.fixture(scope="session")
def old_tree() -> Path:
    """Out of git's history; skips where it cannot be had."""
    return tree_of(release_before())
