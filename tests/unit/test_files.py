"""A folder is there whole or not at all; what was left behind goes, what is being written stays."""

import os
from pathlib import Path

import pytest

from services.files import PREFIX, clean, disk_usage, lock, scratch, write_atomically, write_folder


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "version"
    with write_folder(target) as part:
        (part / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["version"]


def test_disk_usage_counts_all_files_below_and_nothing_that_is_not_there(tmp_path: Path) -> None:
    assert disk_usage(tmp_path / "nowhere") == 0
    for name in ("a/one", "a/b/two", "c/three"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10_000))
    assert 20_000 <= disk_usage(tmp_path / "a") < 40_000
    assert disk_usage(tmp_path / "a", tmp_path / "c") == disk_usage(tmp_path)


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), write_folder(tmp_path / "version") as part:
        (part / "file").write_text(str(1 // 0))
    assert not list(tmp_path.iterdir())


def test_of_two_at_once_the_second_is_told(tmp_path: Path) -> None:
    target = tmp_path / "version"

    def first() -> None:
        with write_folder(target) as part:
            (part / "file").write_text("first")

    with pytest.raises(FileExistsError), write_folder(target):
        first()
    assert (target / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_being_written_is_left_alone(tmp_path: Path) -> None:
    with scratch(tmp_path) as mine:
        assert clean(tmp_path) == []
        with scratch(tmp_path) as another:
            assert mine.is_dir()
            assert another != mine
    assert not list(tmp_path.iterdir())


def test_what_nobody_writes_any_more_goes(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "file").write_text("half")
    (tmp_path / "version").mkdir()
    assert clean(tmp_path) == [left]
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")
    path.parent.joinpath("other").write_bytes(b"")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert {each.name for each in path.parent.iterdir()} == {"file", "other"}


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "within").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"a file cannot take its place")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_of_two_who_want_a_lock_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one"
    held = pytest.raises(RuntimeError, match=str(os.getpid()))
    with lock(path, RuntimeError), held, lock(path, RuntimeError):
        pass
    with lock(path, RuntimeError):
        pass
