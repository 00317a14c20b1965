"""Public files of sessions are read whole: 300,000 sessions, 1.7 million events."""

from pathlib import Path

import pytest

from services.trainer.session_files import read_cases, read_histories


@pytest.mark.parametrize(
    ("name", "size", "cases"),
    [
        ("retailrocket", (126_168, 685_984, 36_968), 15_132),
        ("diginetica", (186_670, 906_140, 43_097), 60_858),
        ("serenade_example", (23_753, 113_601, 18_009), 302),
    ],
)
def test_public_files_are_read_whole(
    data_folder: Path, name: str, size: tuple[int, int, int], cases: int
) -> None:
    found = read_histories(data_folder / name / "train.txt.gz")
    assert (found.sessions, len(found.items), len(found.products)) == size
    assert (found.ends[1:] >= found.ends[:-1]).all()
    assert len(read_cases(data_folder / name / "test.txt.gz")) == cases
