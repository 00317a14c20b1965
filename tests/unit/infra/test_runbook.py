"""The runbook has a section for every alarm, and names every command of operators, none that is not there."""

import re
from typing import Any

from typer.main import get_command

from infra.alarms import ROOT, RUNBOOK, anchors
from services.ops.__main__ import app
from tests.support.runbook import find_sections

TEXT = (ROOT / RUNBOOK).read_text()


def commands(command: Any, before: str = "") -> set[str]:
    """All commands by the words that they are called by."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {before.strip()}
    found = set().union(*(commands(each, f"{before} {name}") for name, each in inner.items()))
    return found | ({before.strip()} if command.invoke_without_command else set())


def test_every_alarm_leads_to_a_section() -> None:
    sections = find_sections()
    assert [each for each in sections if each in anchors()] == list(anchors())


def test_every_command_is_told_of_and_no_other() -> None:
    table = TEXT.partition("## Commands")[2]
    told = {
        each for line in re.findall(r"^\| (`.+?`) \|", table, re.M) for each in re.findall(r"`([^`]+)`", line)
    }
    assert told == commands(get_command(app))


def test_the_commands_of_the_tries_are_there() -> None:
    known = commands(get_command(app))
    for called in re.findall(r"^\$ python -m services\.ops (.+?)(?: +#.*)?$", TEXT, re.M):
        words = called.split()
        assert " ".join(words[:2]) in known or words[0] in known, called
