"""A folder is there whole or not at all; what was left behind goes, what is being written stays."""

from pathlib import Path

import pytest

from services.files import PREFIX, becoming, clean, scratch


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "version"
    with becoming(target) as part:
        (part / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["version"]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), becoming(tmp_path / "version") as part:
        (part / "file").write_text(str(1 // 0))
    assert not list(tmp_path.iterdir())


def test_of_two_at_once_the_second_is_told(tmp_path: Path) -> None:
    target = tmp_path / "version"

    def first() -> None:
        with becoming(target) as part:
            (part / "file").write_text("first")

    with pytest.raises(FileExistsError), becoming(target):
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
