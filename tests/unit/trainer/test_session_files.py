"""Files of sessions are read, or it is said in one sentence which line is wrong."""

import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.trainer.cases import Case
from services.trainer.commands import app
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
    tables = st.text(st.sampled_from('ab1,;|\t\n"{}[]: .-'), max_size=60)
    headers = st.sampled_from(
        ["session_id,item_id,ts\n", "session:token item_id_list:x item:y\n", '{"session":1,"item":', "[", ""]
    )
    texts = st.tuples(headers, tables).map(lambda parts: "".join(parts).encode())

    @given(st.binary(max_size=200) | texts)
    @examples(300)
    def read_or_refused(content: bytes) -> None:
        path = write(content)
        for read in (read_histories, read_cases):
            with suppress(UnreadableFile):
                read(path)

    read_or_refused()


ROWS = [("b", "x", 20.5), ("a", "q", 9), ("b", "w", 10), ("a", "r", 11)]
RECBOLE = "session_id:token\titem_id_list:token_seq\titem_id:token\n"


@pytest.mark.parametrize(
    "content",
    [
        "session_id,item_id,timestamp\n" + "".join(f"{s},{i},{t}\n" for s, i, t in ROWS),
        "timestamp;session_id;item_id\n" + "".join(f"{t};{s};{i}\n" for s, i, t in ROWS),
        '"session_id","item_id","timestamp"\n' + "".join(f'"{s}","{i}",{t}\n' for s, i, t in ROWS),
        "session_id\titem_id\ttimestamp\n" + "".join(f"{s}\t{i}\t{t}\n" for s, i, t in ROWS),
        "session_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"{s}\t{i}\t{t}\n" for s, i, t in ROWS),
        "user_id:token,item_id:token,timestamp:float\n" + "".join(f"{s},{i},{t}\n" for s, i, t in ROWS),
        "".join(f'{{"session_id": "{s}", "item_id": "{i}", "timestamp": {t}}}\n' for s, i, t in ROWS),
        '{"session": "b", "events": [{"aid": "w", "ts": 10}, {"aid": "x", "ts": 20.5}]}\n'
        '{"session": "a", "events": [{"aid": "q", "ts": 9}, {"aid": "r", "ts": 11}]}\n',
        "SessionId,ItemId,Time\n" + "".join(f"{s},{i},1970-01-01T00:00:{t:09.6f}Z\n" for s, i, t in ROWS),
    ],
)
def test_tables_in_any_usual_form_are_understood(write: Write, content: str) -> None:
    found = read_histories(write(content))
    assert [found.session(number) for number in range(found.sessions)] == [("q", "r"), ("w", "x")]
    assert found.times.tolist() == [9_000, 11_000, 10_000, 20_500]
    assert sorted(case.target for case in read_cases(write(content))) == ["r", "x"]


def test_times_may_be_in_ms_or_missing(write: Write) -> None:
    found = read_histories(write("session_id,item_id,ts\n1,a,1700000000000\n1,b,1700000001000\n"))
    assert found.times.tolist() == [1_700_000_000_000, 1_700_000_001_000]
    untimed = read_histories(write("session_id,item_id\n1,b\n2,x\n1,a\n"))
    assert sorted(untimed.session(number) for number in range(2)) == [("b", "a"), ("x",)]


def test_recboles_sequences_are_cases_and_their_longest_is_the_session(write: Write) -> None:
    text = RECBOLE + "1\t10\t11\n1\t10 11\t12\n2\t7\t8\n"
    assert read_cases(write(text)) == [Case(("10",), "11"), Case(("10", "11"), "12"), Case(("7",), "8")]
    found = read_histories(write(text))
    assert sorted(found.session(number) for number in range(found.sessions)) == [
        ("10", "11", "12"),
        ("7", "8"),
    ]


def test_lists_of_json_are_sessions_or_cases(write: Write) -> None:
    found = read_histories(write('["a", "b"]\n[3]\n'))
    assert [found.session(number) for number in range(2)] == [("a", "b"), ("3",)]
    assert read_cases(write('{"prefix": [1, 2], "target": 3}\n')) == [Case(("1", "2"), "3")]
    assert read_cases(write('{"session_id": 1, "items": ["a", "b", "c"]}\n')) == [Case(("a", "b"), "c")]


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_sessions_parted_by_commas_are_sessions(write: Write, separator: str) -> None:
    found = read_histories(write("1,2,3\n4,5\n6\n".replace(",", separator)))
    assert [found.session(number) for number in range(found.sessions)] == [
        ("1", "2", "3"),
        ("4", "5"),
        ("6",),
    ]
    assert read_cases(write("1,2\t3\n4\t5\n6,7\t8\n".replace(",", separator)))[0] == Case(("1", "2"), "3")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "1,2014-04-07T10:51:09.277Z,214536502,0\n2,2014-04-08T10:51:09Z,214536500,0\n",
            "looks like a table",
        ),
        ("user_no;article;when\n1;5;1700000000\n2;6;1700000009\n", "looks like a table"),
        ("session_id,item_id,timestamp\n1,a\n", "line 2: 2 cells, expected 3"),
        ("session_id,item_id,timestamp\n1,a,yesterday\n", "line 2: timestamp 'yesterday' is no Unix time"),
        ("session_id,item_id\n1,\n", "line 2: session_id or item_id is empty"),
        ('{"session_id": 1, "item_id": 2}\n{"broken\n', "line 2: is no JSON"),
        ('{"a": 1}\n', "line 1: has a: neither a session nor its products"),
        ("[1]\n2\n", "line 2: is neither an object nor a list"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(write: Write, content: str, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        read_histories(write(content))


def test_files_without_a_product_in_common_are_an_error_and_never_a_hit_rate_of_0(tmp_path: Path) -> None:
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("a b c\nb c d\n" * 20)
    test.write_text("1 2\t3\na b\t9\n")
    done = CliRunner().invoke(app, ["evaluate", "--train", str(train), "--test", str(test)])
    assert done.exit_code == 2
    assert "none of its 2 targets (3, 9) is a product of" in done.output
    assert "hr_20" not in done.output
