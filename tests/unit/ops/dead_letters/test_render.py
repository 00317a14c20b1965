"""How letters are shown: rows, groups by reason, bytes."""

from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.deadletters import MAX_RETURN_BYTES, MAX_RETURNED, Return
from services.cli import console
from services.ops.dead_letters.ingest import FRAME_BYTES, chunks
from services.ops.dead_letters.query import Found
from services.ops.dead_letters.render import hex_dump, readable, show, show_groups, show_list
from services.ops.dead_letters.report import Groups, Newest, describe, pattern
from tests.support.dead_letters import letter


def find(number: int, reason: str = "no event") -> Found:
    return Found(letter(b"{}", offset=number, reason=reason), None)


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 20))
def test_a_list_keeps_the_newest_in_their_order(batches: list[int], limit: int) -> None:
    newest, all_of_them = Newest(limit), [find(number) for number in range(sum(batches))]
    left = all_of_them
    for size in batches:
        newest.take(left[:size])
        left = left[size:]
    listed = newest.to_list()
    assert listed.count == len(all_of_them)
    assert [row.id for row in listed.letters] == [str(each.letter.id) for each in all_of_them[-limit:]]


def test_reasons_are_grouped_whatever_they_quote() -> None:
    groups = Groups()
    groups.take(find(number, f"Invalid enum value 'type{number}' - at `$.type`") for number in range(3))
    groups.take([find(7, "40000 bytes, at most 32768 are taken")])
    large, small = groups.largest_first()
    assert (large.reason, large.count) == ("Invalid enum value '…' - at `$.type`", 3)
    assert (small.reason, small.count, small.example) == ("# bytes, at most # are taken", 1, "events.dlq/0/7")


def test_a_pattern_is_its_own_pattern() -> None:
    once = pattern("Expected `int`, got `str` - at `$.items[0]` in 'x'")
    assert pattern(once) == once


def test_bytes_are_shown_as_json_as_text_or_as_a_dump() -> None:
    assert readable(b'{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert readable(b"no json\nat all") == "no json\nat all"
    assert readable(b"\xff{a\x00") == f"00000000  {'ff 7b 61 00':<47}  |.{{a.|"
    assert "\x1b" not in readable(b"\x1b[2J")  # a letter does not write to the operator's terminal
    assert readable(None).startswith("(no value")


@given(st.binary(max_size=5000))
def test_a_dump_has_every_byte_or_says_how_many_are_left(raw: bytes) -> None:
    lines = hex_dump(raw).splitlines()
    if len(raw) > 4096:
        assert lines.pop() == f"… {len(raw) - 4096} more bytes"
    assert bytes.fromhex("".join(line[10:57] for line in lines)) == raw[:4096]


def test_what_a_letter_says_is_no_markup() -> None:
    bad = Found(letter(b"[bold]", key=b"[/]", reason="[red]no"), None)
    newest, groups = Newest(5), Groups()
    newest.take([bad])
    groups.take([bad])
    with patch.object(console, "_width", 200), console.capture() as capture:
        show_list(newest.to_list(), everything=True)
        show_groups(groups.largest_first())
        show(describe(bad, None, "nobody was asked"), bad.letter.raw)
    told = capture.get()
    assert told.count("[red]no") == 3
    assert "[bold]" in told
    assert "not known: nobody was asked" in told


def test_letters_go_to_ingest_in_bodies_that_it_takes() -> None:
    sent = [letter(b"x" * size, source="/v1/events") for size in [10] * 1200 + [300_000] * 9]
    bodies = list(chunks(sent, ()))
    assert sum(map(len, bodies)) == len(sent)
    assert max(map(len, bodies)) <= MAX_RETURNED
    assert max(len(msgspec.json.encode(Return(each))) for each in bodies) <= MAX_RETURN_BYTES
    assert FRAME_BYTES < MAX_RETURN_BYTES
