"""Compiled functions are found where nothing may be written beside the sources."""

# mypy: disable-error-code="no-untyped-call"

import os
import tempfile
from pathlib import Path

import pytest

from services.model.compiled import ReadOnlyTree


def double(number: int) -> int:
    return 2 * number


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with something compiled beside it, as an image has it."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    path = tmp_path / "app" / "code.py"
    cache = path.parent / "__pycache__"
    cache.mkdir(parents=True)
    path.write_text("a = 1\n")
    (cache / "code.double-1.py311.nbi").write_bytes(b"index")
    (cache / "code.double-1.py311.1.nbc").write_bytes(b"compiled")
    (cache / "code.cpython-311.pyc").write_bytes(b"bytecode")
    return path


def test_where_it_may_be_written_they_stay_beside_the_source(source: Path) -> None:
    locator = ReadOnlyTree.from_function(double, str(source))
    assert locator.get_cache_path() == str(source.parent / "__pycache__")


def test_a_read_only_tree_is_copied_among_temporary_files(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    locator = ReadOnlyTree.from_function(double, str(source))
    copy = Path(locator.get_cache_path())
    assert copy != source.parent / "__pycache__"
    assert sorted(each.name for each in copy.iterdir()) == [
        "code.double-1.py311.1.nbc",
        "code.double-1.py311.nbi",
    ]
    (copy / "new.1.nbc").write_bytes(b"compiled since")
    again = ReadOnlyTree.from_function(double, str(source))
    assert again.get_cache_path() == str(copy)
    assert (copy / "new.1.nbc").exists()
