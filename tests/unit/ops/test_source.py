"""The format of a file is told by its content; every format gives the same rows."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.catalogue import delimited, file_formats
from services.ops.catalogue.file_formats import Dialect, Feed, Format, UnreadableFile
from services.ops.catalogue.rows import Broken
from tests.support.feeds import rss, write_file

ROWS = [{"product_id": str(number), "name": f"Lamp {number}"} for number in range(30)]


def csv_text(delimiter: str) -> str:
    return "\n".join(delimiter.join(each) for each in [list(ROWS[0]), *(row.values() for row in ROWS)])


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.csv", csv_text(","), Format.CSV),
        ("a.csv", csv_text(";"), Format.CSV),
        ("a.tsv", csv_text("\t"), Format.CSV),
        ("a.txt", csv_text("|"), Format.CSV),
        ("a.csv", "\ufeff" + csv_text(","), Format.CSV),
        ("a.jsonl", "\n\n".join(map(json.dumps, ROWS)), Format.JSONL),
        ("a.json", "\n".join(map(json.dumps, ROWS)), Format.JSONL),
        ("a.json", json.dumps(ROWS), Format.JSON),
        ("a.json", json.dumps({"products": ROWS}, indent=1), Format.JSON),
        ("a", rss(*ROWS), Format.XML),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_format_gives_the_same_rows(
    tmp_path: Path, name: str, text: str, kind: Format, compressed: bool
) -> None:
    path = write_file(tmp_path, name, text)
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))  # whatever it is called
    feed = Feed(path)
    assert feed.format is kind
    assert list(feed.rows()) == ROWS
    assert feed.share == 1.0


def test_parquet_gives_the_same_rows_and_knows_how_many(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    feed = Feed(path)
    seen = [(row, feed.share) for row in feed.rows()]
    assert [row for row, _ in seen] == ROWS
    assert [share for _, share in seen] == [number / 30 for number in range(1, 31)]


def test_utf_16_is_known_by_its_mark_and_other_encodings_are_told(tmp_path: Path) -> None:
    assert Feed(write_file(tmp_path, "a.csv", "name\nSchön\n", "utf-16")).first() == {"name": "Schön"}
    path = write_file(tmp_path, "b.csv", "name\nSchön\n", "cp1252")
    with pytest.raises(UnreadableFile, match="name its encoding"):
        Feed(path).first()
    assert Feed(path, Dialect(encoding="cp1252")).first() == {"name": "Schön"}
    with pytest.raises(UnreadableFile, match="no encoding"):
        Feed(path, Dialect(encoding="klingon"))


def test_a_broken_line_does_not_stop_those_after_it(tmp_path: Path) -> None:
    jsonl = Feed(write_file(tmp_path, "a.jsonl", '{"a": 1}\n{"a": \n[1]\n{"a": 2}\n'))
    assert [isinstance(each, Broken) for each in jsonl.rows()] == [False, True, True, False]
    table = Feed(write_file(tmp_path, "a.csv", "a,b\n1,2\n1,2,3\n1\n"))
    assert list(table.rows()) == [
        {"a": "1", "b": "2"},
        Broken("more cells than columns"),
        {"a": "1", "b": None},
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.xml", "a.parquet", "a.csv.gz"])
def test_an_empty_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match="a"):
        Feed(write_file(tmp_path, name, "")).first()


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=40) | st.integers() | st.none()), max_size=8
    ),
    st.booleans(),
    st.integers(1, 50),
)
def test_a_list_is_read_whatever_the_pieces_it_comes_in(
    objects: list[dict[str, object]], named: bool, chunk: int
) -> None:
    text = json.dumps({"products": objects} if named else objects)

    class Pieces:
        """At first enough for the opening, then piece after piece."""

        def __init__(self) -> None:
            self.rest = text

        def read(self, _size: int) -> str:
            size = 14 if self.rest is text else chunk
            piece, self.rest = self.rest[:size], self.rest[size:]
            return piece

    assert list(file_formats.json_list(Pieces())) == objects  # type: ignore[arg-type]


def test_a_list_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="other than objects"):
        list(Feed(write_file(tmp_path, "a.json", "[1, 2]")).rows())


@given(
    st.sampled_from(",;\t|"), st.lists(st.from_regex(r"[a-z ]{1,8}", fullmatch=True), min_size=2, max_size=6)
)
def test_the_header_tells_the_delimiter(delimiter: str, names: list[str]) -> None:
    assert delimited.delimiter_of(delimiter.join(names) + "\n") == delimiter
    quoted = delimiter.join(f'"{name},;|x"' for name in names)
    assert delimited.delimiter_of(quoted) == delimiter


def test_a_workbook_is_told_as_one(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(b"PK\x03\x04 and the rest of a zip")
    with pytest.raises(UnreadableFile, match="save its table as CSV"):
        Feed(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_row_in_another_encoding_costs_itself_and_names_the_remedy(tmp_path: Path, name: str) -> None:
    rows = [b'{"name": "Lamp"}', '{"name": "Sch\u00f6n"}'.encode("cp1252"), b'{"name": "Chair"}']
    text = b"name\nLamp\n" + "Sch\u00f6n".encode("cp1252") + b"\nChair\n"
    content = {"a.jsonl": b"\n".join(rows), "a.json": b"[" + b",".join(rows) + b"]", "a.csv": text}[name]
    path = tmp_path / name
    path.write_bytes(content)
    first, broken, last = Feed(path).rows()
    assert (first, last) == ({"name": "Lamp"}, {"name": "Chair"})
    assert isinstance(broken, Broken)
    assert "--encoding" in broken.remedy
    told = Feed(path, Dialect(encoding="cp1252")).rows()
    assert [row["name"] for row in told if isinstance(row, dict)] == ["Lamp", "Sch\u00f6n", "Chair"]
