"""Files of sessions are read, or it is said in one sentence which line is wrong."""

import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.cases import Case
from services.trainer.session_files import UnreadableFile, read_cases, read_histories
from tests.support.examples import examples

HEADER = "SessionId\tItemId\tTime\n"
Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file."""

    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "sessions.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def test_a_plain_file_has_a_session_a_line(write: Write) -> None:
    found = read_histories(write("10 9 10\n\n7\n"))
    assert [found.session(number) for number in range(found.sessions)] == [("10", "9", "10"), ("7",)]
    assert found.times.tolist() == [0, 1_000, 2_000, 2_000 + 3_600_000]
    assert found.products == ("10", "7", "9")


def test_a_table_has_an_event_a_row_in_any_order(write: Write) -> None:
    found = read_histories(write(HEADER + "b\tx y\t20.5\na\tq\t9\nb\tw\t10.0\n"))
    assert [found.session(number) for number in range(found.sessions)] == [("q",), ("w", "x y")]
    assert found.times.tolist() == [9_000, 10_000, 20_500]


def test_a_tables_columns_may_be_in_any_order(write: Write) -> None:
    found = read_histories(write("Time\tSessionId\tItemId\n5\ta\tp\n"))
    assert (found.session(0), found.times.tolist()) == (("p",), [5_000])


def test_plain_cases_are_as_written(write: Write) -> None:
    assert read_cases(write("1 2\t3\r\n4\t4\n")) == [Case(("1", "2"), "3"), Case(("4",), "4")]


def test_of_a_table_the_last_product_of_each_session_is_held_out(write: Write) -> None:
    found = read_cases(write(HEADER + "a\tp\t1\na\tq\t2\na\tr\t3\nb\talone\t4\n"))
    assert found == [Case(("p", "q"), "r")]


@pytest.mark.parametrize("text", ["1 2 3\n4 5\n", HEADER + "a\tp\t1\na\tq\t2\n"])
def test_gz_is_known_by_its_content(write: Write, text: str) -> None:
    plain = read_histories(write(text))
    packed = read_histories(write(gzip.compress(text.encode())))
    assert plain.products == packed.products
    assert plain.items.tolist() == packed.items.tolist()


def test_ids_may_be_any_text_without_a_space(write: Write) -> None:
    ids = ("Schuhe-Größe\u00a042", "靴", "🥾", "a,b;c|d", '"', "\u2028")
    found = read_histories(write("\ufeff" + " ".join(ids) + "\n"))
    assert found.session(0) == ids


def test_many_events_do_not_run_into_the_next_session(write: Write) -> None:
    found = read_histories(write("1 " * 5_000 + "\n2\n"))
    assert found.session(1) == ("2",)
    assert (found.ends[1:] > found.ends[:-1]).all()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "sessions.txt: is empty"),
        ("\n  \n", "sessions.txt: is empty"),
        (b"\xef\xbb\xbf", "sessions.txt: is empty"),
        ("1 2\n3\t4\n", "line 2: has a TAB"),
        (b"1 2\n\xff\xfe\x00rubbish\n", "line 2: is no UTF-8"),
        (b"1 2\n3 \x00\x01 4\n", "line 2: has control characters"),
        (HEADER, "has a header and nothing else"),
        (HEADER + "a\tp\n", "line 2: 2 cells, expected 3"),
        (HEADER + "a\t\t1\n", "line 2: SessionId or ItemId is empty"),
        (HEADER + "a\tp\tyesterday\n", "line 2: Time 'yesterday' is no Unix time"),
        (HEADER + "a\tp\tnan\n", "line 2: Time 'nan' is no Unix time"),
        (HEADER + "a\tp\t1e300\n", "line 2: Time '1e300' is no Unix time"),
        (gzip.compress(b"1 2\n" * 10_000, mtime=0)[:-20], "cannot be read"),
        (gzip.compress(b"1 2\n", mtime=0)[:-4] + b"oops", "cannot be read"),
    ],
)
def test_a_bad_file_of_sessions_is_told_by_its_line(write: Write, content: str | bytes, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        read_histories(write(content))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("1 2\t3\n4 5\n", "line 2: no TAB"),
        ("\t3\n", "line 1: the prefix is empty"),
        (" \t3\n", "line 1: the prefix is empty"),
        ("1\t2\t3\n", "line 1: 2 TABs"),
        ("1\t\n", "line 1: 0 targets"),
        ("1\t2 3\n", "line 1: 2 targets"),
        (HEADER + "a\tp\t1\nb\tq\t2\n", "no session has two events"),
    ],
)
def test_a_bad_file_of_cases_is_told_by_its_line(write: Write, content: str, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        read_cases(write(content))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"nowhere\.txt: cannot be read: No such file"):
        read_histories(tmp_path / "nowhere.txt")


def test_whatever_a_file_holds_it_is_read_or_refused(write: Write) -> None:
    @given(st.binary(max_size=200))
    @examples(300)
    def read_or_refused(content: bytes) -> None:
        path = write(content)
        for read in (read_histories, read_cases):
            with suppress(UnreadableFile):
                read(path)

    read_or_refused()
