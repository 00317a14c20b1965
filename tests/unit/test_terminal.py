"""What others have named, sent or broken is printed, and tells an operator's terminal nothing."""

import io
import json
import logging
from unicodedata import category

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from schemas.unreadable import printable, printable_json, reason_of
from services.cli import Terminal, exit_with_status, print_json
from services.errors import OperationFailed
from services.logging import configure_logging
from services.ops.output import Column, figures, pairs, table
from services.progress import Bars, FileBar, Lines
from services.settings import ServiceSettings

# A title, a cleared screen, a link, C1's own introducer, a bell, an override of direction, rich's markup.
EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x1b]8;;http://evil\x1b\\x\x9b31m\u202egnp.exe "
    "[red]red[/] [link=x]y :cat: \r\b\x00"
)
SHOWN = (
    r"\x1b]0;owned\x07\x1b[2J\x1b]8;;http://evil\x1b\x\x9b31m\u202egnp.exe "
    r"[red]red[/] [link=x]y :cat: \x0d\x08\x00"
)
ORDERS = ("\x07", "\x9b", "\x1b]", "\x1b[2J", "\u202e", "\x08", "\x00", "\x1b[31m")


def terminal() -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(file=out, force_terminal=True, width=400), out


def assert_harmless(out: str) -> None:
    assert "owned" in out
    assert "[red]red[/]" in out
    assert ":cat:" in out
    assert [order for order in ORDERS if order in out] == []


def test_text_is_shown_with_escapes() -> None:
    assert printable(EVIL) == SHOWN


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("Müller & Söhne", "שלום", "نرم\u200cافزار", "👩\u200d🚀", "two\nlines\tand more"):
        assert printable(text) == text


@given(st.text())
def test_nothing_is_left_to_obey_and_a_second_time_changes_nothing(text: str) -> None:
    shown = printable(text)
    assert [letter for letter in shown if category(letter) in {"Cc", "Cs"} and letter not in "\n\t"] == []
    assert printable(shown) == shown
    shown.encode()  # no half of an emoji


@given(st.recursive(st.text(), st.lists))
def test_json_keeps_its_value(value: object) -> None:
    assert json.loads(printable_json(json.dumps(value, ensure_ascii=False))) == value


def test_a_reason_has_no_addresses_and_an_end() -> None:
    assert reason_of(ValueError(f"cannot identify image file {object()!r}")) == (
        "cannot identify image file <object object>"
    )
    assert reason_of(io.BytesIO()) == reason_of(io.BytesIO())
    assert len(reason_of("x" * 10_000)) == 500


def test_tables_sentences_and_figures() -> None:
    console, out = terminal()
    columns: list[Column[str]] = [Column("name", lambda each: each)]
    for shown in (
        table([EVIL], columns, title=EVIL),
        pairs([(EVIL, EVIL)]),
        figures(EVIL, [EVIL], [(EVIL, [EVIL])]),
        EVIL,
        Text(EVIL, style="red"),
    ):
        console.print(shown)
    assert_harmless(out.getvalue().replace("\x1b[31m", "", 1))  # the style that the test asks for


def test_progress() -> None:
    console, out = terminal()
    with Bars(console) as bars:
        bars.stage(EVIL, 3)
        bars.advance()
    with FileBar(EVIL + "{0}", lambda: 0.5, console) as bar:
        bar.advance(1)
    with Lines(console) as lines:
        lines.stage(EVIL)
    cleaned = out.getvalue()
    for own in ("\x1b[31m", "\x1b[35m"):  # rich's colours of a bar
        cleaned = cleaned.replace(own, "")
    assert_harmless(cleaned)


def test_errors_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="2"), exit_with_status():
        raise OperationFailed(EVIL)
    assert_harmless(capsys.readouterr().err)
    print_json({"name": EVIL})
    printed = capsys.readouterr().out
    assert_harmless(printed)
    assert json.loads(printed) == {"name": EVIL}


def test_logs_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    root, former = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        configure_logging(ServiceSettings(log_format="console"), "test")
        structlog.get_logger().warning("dead letter", reason=EVIL)
        logging.getLogger("of a library").warning("%s", EVIL)
    finally:
        root.handlers[:] = former
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    printed = capsys.readouterr().err
    assert printed.count("owned") == 2
    assert_harmless(printed)
