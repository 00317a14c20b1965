"""Tables of text: quotes that quote, quotes that are inches, and files that begin oddly."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.catalogue import delimited
from services.ops.catalogue.delimited import FEWER, LETTER, LONG_CELL, TWICE, UNCLOSED, csv_rows
from services.ops.catalogue.rows import Broken, Row


def read(text: str, delimiter: str | None = None) -> tuple[list[Row | Broken], list[str]]:
    """The rows, and what was told to be odd."""
    told: list[str] = []
    rows = csv_rows(io.StringIO(text, newline=""), delimiter, lambda what, _: told.append(what))
    return list(rows), told


def cells(text: str) -> list[list[str | None] | Broken]:
    return [row if isinstance(row, Broken) else list(row.values()) for row in read(text)[0]]


def test_in_a_feed_without_quoting_a_quote_is_a_letter() -> None:
    rows = [
        ["1", "Pan", "A pan", "10"],
        ["2", "Pan", '"XL" pan, 12" across', "20"],
        ["3", "Lid", '"Fits all', "30"],
        ["4", "Monitor", '19"', "40"],
        ["5", "Grill", '"Big" grill', "60"],
        ["6", "Fork", "A fork", "70"],
    ]
    text = "id\ttitle\tdescription\tprice\n" + "".join("\t".join(row) + "\n" for row in rows)
    assert cells(text) == rows
    assert read(text)[1] == [LETTER] * 3


def test_a_file_that_ends_inside_quotes_is_an_error_of_that_line_and_costs_no_other() -> None:
    text = 'id,name,price\n1,"Lamp, warm",5\n2,"Chair,6\n3,Table,7\n'
    first, broken, last = cells(text)
    assert (first, last) == (["1", "Lamp, warm", "5"], ["3", "Table", "7"])
    assert isinstance(broken, Broken)
    assert (broken.reason, broken.value) == (UNCLOSED, "line 3")
    assert cells('id,name,price\n1,"Lamp, warm",5\n2,"cut o')[1:] == [
        Broken(UNCLOSED, "line 3", delimited.CLOSE_IT)
    ]


def test_a_cell_that_runs_over_lines_and_delimiters_is_taken_and_told() -> None:
    text = 'id\tname\tprice\n1\t"over\tcells\nand lines"\t5\n2\tLamp\t6\n'
    assert cells(text) == [["1", "over\tcells\nand lines", "5"], ["2", "Lamp", "6"]]
    assert read(text)[1] == [LONG_CELL]


def test_a_quote_inside_a_quoted_cell_need_not_be_doubled() -> None:
    text = 'id,name,price\n1,"Big, ""wide"" pan",5\n2,"Big, "wide" pan",6\n3,"So "wide"",7\n'
    assert [row[1] for row in cells(text) if not isinstance(row, Broken)] == [
        'Big, "wide" pan',
        'Big, "wide" pan',
        'So "wide"',
    ]


@pytest.mark.parametrize(
    "beginning", ["", "\n\n", ";;;\n", "sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n", "\nsep=;\n\n"]
)
def test_empty_first_lines_and_excels_line_are_understood(beginning: str) -> None:
    assert read(f"{beginning}id;name;a, b\n1;Lamp;\n")[0] == [{"id": "1", "name": "Lamp", "a, b": None}]


def test_excels_line_wins_over_what_the_header_looks_like() -> None:
    assert read("sep=;\nid;name, long, wide\n1;Lamp\n")[0] == [{"id": "1", "name, long, wide": "Lamp"}]


def test_a_table_of_nothing_has_no_rows() -> None:
    for text in ("", "\n", "sep=;\n", "id;name\n", "\n;;\n"):
        assert read(text)[0] == []


def test_cells_of_spaces_are_empty_and_what_is_odd_about_columns_is_told() -> None:
    rows, told = read("id,price,price,\n1, ,7,,\n2,5\n3,4,5,6,7\n")
    assert rows == [
        {"id": "1", "price": "7", "": None},
        {"id": "2", "price": "5", "": None},
        Broken("more cells than columns"),
    ]
    assert told == [TWICE, FEWER]


def test_bytes_of_another_encoding_cost_their_row_alone() -> None:
    raw = b"id,name\n1,Lamp\n" + "2,Schön\n".encode("cp1252") + "3,Schön\n".encode()
    text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline="")
    first, broken, last = csv_rows(text, None)
    assert (first, last) == ({"id": "1", "name": "Lamp"}, {"id": "3", "name": "Schön"})
    assert isinstance(broken, Broken)
    assert (broken.value, "--encoding" in broken.remedy) == ("line 3", True)


def test_a_quote_that_nothing_closes_is_not_looked_for_in_each_line_anew() -> None:
    count = 20_000
    text = "id\tname\tprice\n" + "".join(f'{number}\t"Lamp\t5\n' for number in range(count))
    assert sum(not isinstance(row, Broken) for row in cells(text)) == count


TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from('",;\t\n" '), max_size=12)


@given(
    st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_programs_write_is_read_as_it_was_meant(
    rows: list[list[str]], delimiter: str, quoting: int
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([["a", "b", "c"], *rows])
    found = read(written.getvalue(), delimiter)[0]
    expected = [[cell if cell.strip() else None for cell in row] for row in rows]
    assert [list(row.values()) for row in found if not isinstance(row, Broken)] == expected


@given(st.text(st.sampled_from('ab",\n'), max_size=40))
def test_whatever_the_text_it_ends_and_yields_rows(text: str) -> None:
    for row in read(f"x,y,z\n{text}")[0]:
        assert isinstance(row, Broken) or set(row) == {"x", "y", "z"}


@given(st.text(st.sampled_from("ab,\n"), max_size=30))
def test_without_quotes_a_line_is_a_row(text: str) -> None:
    lines = [line for line in text.split("\n") if line]
    assert len(read(f"x,y,z\n{text}")[0]) == len(lines)
