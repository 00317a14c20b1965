"""Today's code beside a newer release, or after one: what that adds to messages is passed over, not refused.

And the other way round, with the code of earlier releases out of git's history: each reads the golden
messages of the one after it, but for those that its `readers_first` names.
"""

import io
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from infra.stack.broker import ROOT
from schemas import events, released, sessions
from schemas.released import CODECS, HEADERS, Version, message_of
from schemas.sessions import KINDS, Session, SessionEvent
from schemas.unreadable import Unreadable
from tests.support.releases import release_before

VERSIONS: Final = released.versions()
MESSAGES: Final = [path for path in VERSIONS[-1].files if message_of(path) != HEADERS]
# A page that asks for what the recommender does not know is told so: pages come last (decision 0009).
ASKS: Final = {"live_subscribe"}
NEWER: Final = "of_a_newer_release"


def add_fields(value: Any) -> Any:
    """A message with a field more, and entries of its lists too: the last place of what is an array."""
    if isinstance(value, dict):
        lists = {name: add_entries(each) for name, each in value.items() if isinstance(each, list)}
        return value | lists | {NEWER: {"more": [1]}}
    return [add_entries(each) if isinstance(each, list) else each for each in value] + [{NEWER: 1}]


def add_entries(entries: list[Any]) -> list[Any]:
    """A list whose entries are structs has each with a field more."""
    return [add_fields(each) if isinstance(each, dict | list) else each for each in entries]


@pytest.mark.parametrize(
    "path", [each for each in MESSAGES if message_of(each) not in ASKS], ids=lambda path: path.name
)
def test_what_a_newer_release_adds_to_a_message_is_passed_over(path: Path) -> None:
    coding: Any = msgspec.json if path.suffix == ".json" else msgspec.msgpack
    raw, decode = path.read_bytes(), CODECS[message_of(path)].decode
    newer = coding.encode(add_fields(coding.decode(raw)))
    assert newer != raw
    assert decode(newer) == decode(raw)


def test_an_event_of_a_newer_type_is_refused_with_words_and_kept_as_a_dead_letter() -> None:
    raw = (VERSIONS[-1].folder / "event.search.json").read_bytes()
    with pytest.raises(Unreadable, match="type"):
        events.decode(raw.replace(b'"search"', b'"sing"', 1))


def test_a_session_with_events_of_newer_types_keeps_the_others_and_waits_for_vectors() -> None:
    path = VERSIONS[-1].folder / "session.every_type.msgpack"
    before = sessions.decode(path.read_bytes())
    last = before.events[-1]
    newer = SessionEvent(last.occurred_at + 1, b"\1" * 16, "p", len(KINDS))
    found = sessions.decode(sessions.encode(msgspec.structs.replace(before, events=(*before.events, newer))))
    assert found == Session(
        before.visitor_id,
        before.events,
        bought=before.bought,
        searches=before.searches,
        shown=before.shown,
    )
    assert found.bought or found.searches


def test_a_session_with_a_kind_that_no_release_writes_is_refused() -> None:
    event = SessionEvent(1, b"\1" * 16, "p", -1)
    with pytest.raises(Unreadable, match="cannot be"):
        sessions.decode(sessions.encode(Session("v", (event,))))


# Run by an earlier release's own code: the kinds of messages of a folder that it refuses.
REFUSED: Final = """
import sys
from pathlib import Path
from schemas.released import CODECS
for path in sorted(Path(sys.argv[1]).iterdir()):
    kind = path.name.split(".", 1)[0]
    if kind not in CODECS or path.name.endswith(".msgpack.json"):
        continue
    try:
        CODECS[kind].decode(path.read_bytes())
    except Exception as error:
        print(kind, path.name, error)
"""


def find_refused(commit: str, folder: Path, work: Path) -> set[str]:
    """The kinds of messages in a folder that the code of a commit refuses; skips where it is not at hand."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "schemas"], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(
            f"the code of {commit[:7]} is not in this clone's history: where that is not whole, "
            "`git fetch --unshallow` brings it; two versions were rebased before they landed"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(work, filter="data")
    if not (work / "schemas" / "released.py").exists():
        pytest.skip(f"{commit[:7]} knew no golden messages yet")
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(folder)],
        cwd=work,
        env={"PYTHONPATH": str(work), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.split()[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(("before", "after"), [*pairwise(VERSIONS)], ids=lambda version: version.name)
def test_the_code_of_a_version_reads_the_messages_of_the_next_but_for_those_it_is_told_of(
    before: Version, after: Version, tmp_path: Path
) -> None:
    assert find_refused(before.about.commit, after.folder, tmp_path) <= set(after.about.readers_first)


def test_the_release_before_reads_todays_messages_but_for_those_it_is_told_of(tmp_path: Path) -> None:
    commit = str(release_before().commit)
    refused = find_refused(commit, VERSIONS[-1].folder, tmp_path)
    known = {path.name for path in (tmp_path / "schemas" / "examples" / "released").iterdir()}
    new = [version for version in VERSIONS if version.name not in known]
    assert refused <= {message for version in new for message in version.about.readers_first}
