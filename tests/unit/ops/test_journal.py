"""The journal of a load: what was acknowledged is known again, and nothing else."""

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Product
from services.ops.catalogue.resume_journal import Journal, JournalUnusable


def lamp(product_id: str, name: str = "Lamp", updated_at: int = 1) -> Product:
    return Product(
        product_id=product_id,
        name=name,
        price=1,
        currency="EUR",
        availability="in_stock",
        updated_at=updated_at,
    )


def test_what_was_acknowledged_is_known_after_a_restart(tmp_path: Path) -> None:
    with Journal(tmp_path, "feed", "1") as journal:
        journal.add([lamp("a"), lamp("b")])
    with Journal(tmp_path, "feed", "1") as journal:
        assert journal.has(lamp("a"))
        assert journal.has(lamp("a", updated_at=2))
        assert not journal.has(lamp("a", name="Better lamp"))
        assert not journal.has(lamp("c"))
        assert len(journal) == 2


def test_another_feed_version_or_a_restart_begins_anew(tmp_path: Path) -> None:
    for about, version, fresh in [("other", "1", False), ("feed", "2", False), ("feed", "2", True)]:
        with Journal(tmp_path, "feed", "1") as journal:
            journal.add([lamp("a")])
        with Journal(tmp_path, about, version, fresh=fresh) as journal:
            assert not journal.has(lamp("a"))


def test_a_complete_load_leaves_nothing_behind(tmp_path: Path) -> None:
    with Journal(tmp_path, "feed", "1") as journal:
        journal.add([lamp("a")])
        journal.remove()
    with Journal(tmp_path, "feed", "1") as journal:
        assert len(journal) == 0


def test_two_loads_of_one_feed_do_not_run_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path, "feed", "1"), pytest.raises(JournalUnusable, match="under way"):
        Journal(tmp_path, "feed", "1")
    with Journal(tmp_path, "feed", "1"):
        pass


def test_a_folder_that_cannot_be_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnusable, match="--state"):
        Journal(tmp_path / "file" / "state", "feed", "1")


def test_many_changes_do_not_let_it_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ops.catalogue.resume_journal.WASTE_MAX", 10)
    for name in map(str, range(50)):
        with Journal(tmp_path, "feed", "") as journal:
            journal.add([lamp("a", name), lamp("b", name)])
    with Journal(tmp_path, "feed", "") as journal:
        assert journal.has(lamp("a", "49"))
        assert len(journal) == 2
    [file] = tmp_path.glob("*.journal")
    assert file.stat().st_size < 16 * 20 + 200


@given(
    batches=st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=5), min_size=1, max_size=8),
    cut=st.integers(0, 400),
)
def test_a_kill_in_the_middle_of_a_write_loses_at_most_what_was_written_last(
    batches: list[list[int]], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Journal(Path(folder), "feed", "1") as journal:
            for batch in batches:
                journal.add(lamp(str(number)) for number in batch)
        [file] = Path(folder).glob("*.journal")
        content = file.read_bytes()
        head = content.index(b"\n") + 1
        kept = max(head, len(content) - cut)
        file.write_bytes(content[:kept])
        written = [number for batch in batches for number in dict.fromkeys(batch)]
        whole = set(written[: (kept - head) // 16])
        for _ in range(2):  # what is added after half a record is found again too
            with Journal(Path(folder), "feed", "1") as journal:
                known = {number for number in range(21) if journal.has(lamp(str(number)))}
                assert known == whole
                journal.add([lamp("new")])
        with Journal(Path(folder), "feed", "1") as journal:
            assert journal.has(lamp("new"))


def test_every_field_but_the_time_is_part_of_the_content(tmp_path: Path) -> None:
    with Journal(tmp_path, "feed", "1") as journal:
        journal.add([lamp("a")])
        for change in ({"price": 2.0}, {"tags": ("x",)}, {"availability": "preorder"}, {"url": "/a"}):
            assert not journal.has(msgspec.structs.replace(lamp("a"), **change))
