"""A log gets a line now and then; a terminal gets bars."""

import io

import pytest
from rich.console import Console

from services.progress import Bars, Lines, Silent, create_progress
from tests.support.clock import Clock


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_gets_a_line_at_the_beginning_now_and_then_and_at_the_end() -> None:
    where, clock = console(terminal=False), Clock()
    with Lines(where, clock) as progress:
        progress.stage("reading", 1_000)
        for second in range(1, 41):
            clock.now = float(second)
            progress.advance(25)
        progress.stage("thinking")
        clock.now = 42.0
    assert text_of(where).splitlines() == [
        "reading …",
        "reading: 750 of 1,000, 25/s",
        "reading: 1,000, 40.0 s, 25/s",
        "thinking …",
        "thinking: 2.0 s",
    ]


def test_what_failed_is_not_told_as_done() -> None:
    where = console(terminal=False)
    progress = Lines(where, Clock())
    progress.stage("reading")
    with pytest.raises(ZeroDivisionError), progress:
        progress.advance(1 // 0)
    assert text_of(where) == "reading …\n"


def test_a_terminal_gets_a_bar_a_stage() -> None:
    where = console(terminal=True)
    with Bars(where) as progress:
        progress.advance(1)  # before any stage: nobody minds
        progress.stage("reading", 10)
        progress.advance(4)
        progress.stage("thinking")
    assert "reading" in text_of(where)
    assert "4/4" in text_of(where)  # a stage that has ended was done
    assert "thinking" in text_of(where)


def test_which_one_it_is_the_console_tells() -> None:
    assert isinstance(create_progress(console(terminal=True)), Bars)
    assert isinstance(create_progress(console(terminal=False)), Lines)


def test_silence() -> None:
    Silent().stage("reading", 3)
    Silent().advance()
