"""XML feeds with broken places: each costs its item, is told with its line, and the others come."""

from io import BytesIO
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.catalogue.file_formats import Dialect, Feed, UnreadableFile
from services.ops.catalogue.rows import Broken, CutOff, Row
from services.ops.catalogue.xml_items import CHUNK, rows
from tests.support.feeds import RSS, write_file

HEAD = '<?xml version="1.0"?>\n<rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n'
TAIL = "</channel></rss>"


def item(number: int, title: str = "Lamp") -> str:
    return f"<item><g:id>{number}</g:id><title>{title}</title></item>\n"


def read(text: str) -> list[Row | Broken]:
    return list(rows(BytesIO(text.encode())))


def ids(found: list[Row | Broken]) -> list[str]:
    return ["broken" if isinstance(each, Broken) else each["id"] for each in found]


@pytest.mark.parametrize("title", ["A & B", "<b>x", "a < b", "\x01", "<g:x>1</g:y>", "&unheard;"])
def test_a_broken_item_is_told_with_its_line_and_the_others_come(title: str) -> None:
    found = read(HEAD + item(1) + item(2, title) + item(3) + TAIL)
    assert ids(found) == ["1", "broken", "3"]
    broken = found[1]
    assert isinstance(broken, Broken)
    assert broken.value == "line 4"
    assert broken.reason.startswith("is no XML: ")
    assert "CDATA" in broken.remedy
    in_one_line = (HEAD + item(1) + item(2, title) + item(3) + TAIL).replace("\n", "")
    assert ids(read(in_one_line)) == ["1", "broken", "3"]


def test_lines_are_counted_on_after_a_broken_place_of_a_large_file() -> None:
    count = 20_000
    bad = {7, 8, 9_999, 19_999}
    text = HEAD + "".join(item(n, "A & B" if n in bad else "Lamp") for n in range(count)) + TAIL
    assert len(text) > 10 * CHUNK
    found = read(text)
    assert len(found) == count
    told = [each.value for each in found if isinstance(each, Broken)]
    assert told == [f"line {number + 3}" for number in sorted(bad)]


def test_a_section_that_nothing_closes_costs_the_items_up_to_the_next() -> None:
    found = read(HEAD + item(1) + item(2, "<![CDATA[ never") + item(3) + TAIL)
    assert ids(found) == ["1", "broken", "3"]
    assert isinstance(found[1], Broken)
    assert found[1].value == "line 4"


@pytest.mark.parametrize("cut", [5, 12, 20, 40])
def test_a_file_that_was_cut_off_gives_what_is_before_it_and_says_where(cut: int) -> None:
    text = HEAD + item(1) + item(2) + item(3)
    reading = rows(BytesIO(text[:-cut].encode()))
    assert ids([next(reading), next(reading)]) == ["1", "2"]
    with pytest.raises(CutOff, match=r"line 5: .*cut off"):
        list(reading)


def test_what_html_calls_by_name_is_no_error_in_xml() -> None:
    [found] = read(HEAD + item(1, "Caf&eacute;&nbsp;&amp; bar &lt;3 &amp;nbsp;") + TAIL)
    assert found == {"id": "1", "title": "Café\xa0& bar <3 &nbsp;"}


@given(st.integers(CHUNK - 60, CHUNK + 60))
def test_a_name_that_lies_over_two_readings_is_whole(at: int) -> None:
    text = HEAD + "<!--" + "x" * (at - len(HEAD)) + "-->" + item(1, "Caf&eacute;") + TAIL
    assert read(text) == [{"id": "1", "title": "Café"}]


@pytest.mark.parametrize("beginning", ["\n", " \r\n ", "\ufeff", "\ufeff\n"])
def test_spaces_before_the_declaration_cost_nothing(beginning: str) -> None:
    assert ids(read(beginning + HEAD + item(1) + item(2, "A & B") + item(3) + TAIL)) == ["1", "broken", "3"]


def test_what_is_broken_before_the_items_is_an_error_and_no_broken_item() -> None:
    with pytest.raises(ParseError):
        read(HEAD.replace("<channel>", "<channel><title>A & B</title>") + item(1) + item(2) + TAIL)


def test_what_is_no_xml_at_all_is_an_error() -> None:
    with pytest.raises(ParseError):
        read("<rss><channel><<")


def test_the_encoding_that_is_told_wins(tmp_path: Path) -> None:
    text = RSS.format("<item><id>1</id><title>Schön</title></item>")
    path = write_file(tmp_path, "f.xml", text, "cp1252")
    with pytest.raises(UnreadableFile, match=r"f\.xml"):
        Feed(path).first()
    assert Feed(path, Dialect(encoding="cp1252")).first()["title"] == "Schön"


@given(
    st.lists(st.sampled_from(["Lamp", "A & B", "<b>", "&eacute;", "<![CDATA[x]]>", "</item>"]), max_size=8)
)
def test_whatever_is_broken_no_sound_item_is_lost(titles: list[str]) -> None:
    sound = {str(n) for n, title in enumerate(titles) if title in ("Lamp", "&eacute;", "<![CDATA[x]]>")}
    found: list[Row | Broken] = []
    try:
        for each in rows(BytesIO((HEAD + "".join(map(item, range(len(titles)), titles)) + TAIL).encode())):
            found.append(each)
    except CutOff:
        pass
    assert sound <= set(ids(found))
