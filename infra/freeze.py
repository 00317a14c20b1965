"""Keeps today's messages as those of a released version: `python -m infra.freeze NAME`."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from infra import golden
from schemas import released
from schemas.jsonschema import MESSAGES, Schema
from schemas.released import ABOUT, FOLDER, SCHEMAS, About, Version
from schemas.topics import TOPICS
from services.cli import exit_with_status
from services.errors import OperationFailed
from services.files import write_folder

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,40}")
OFF_TOPICS: Final = {
    "manifest": "trainer, recommender, ops",
    "words_request": "embedder",
    "word_vectors": "recommender",
    "live_subscribe": "recommender",
    "live_recommendations": "pages",
    "live_error": "pages",
    "live_ping": "recommender",
    "live_pong": "pages",
}

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class NotFrozen(OperationFailed):
    """Nothing was written, and why."""


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="such as live-loop; a number is put before it")],
    what: Annotated[str, typer.Option(help="what the version brings, in a sentence")] = "",
    again: Annotated[
        bool, typer.Option("--again", help="write the newest version anew, while it is not released yet")
    ] = False,
) -> None:
    """Write today's messages and JSON Schemas to schemas/examples/released as a new version.

    Tests read them ever after. Status 0: written. 2: not written, and why.

    Example: python -m infra.freeze operations --what "Replay, dead letters, erasures"
    """
    with exit_with_status():
        target = folder_of(name, released.versions(), again=again)
        version = freeze(target, what, commit(), datetime.now(UTC).date().isoformat())
        typer.echo(f"{version.name}: {len(version.files)} messages in {version.folder}")
        for message in version.about.readers_first:
            typer.echo(f"readers first: the version before refuses some {message} ({readers_of(message)})")


def folder_of(name: str, known: list[Version], *, again: bool, root: Path = FOLDER) -> Path:
    """Where a version goes. Only the newest may be written again: what was released stays as it is."""
    if not NAME.fullmatch(name):
        raise NotFrozen(f"{name!r} is no name of a version: lower-case letters, digits and dashes")
    newest = known[-1] if known else None
    if again:
        if newest is None or _bare(newest.name) != name:
            raise NotFrozen(
                f"only the newest version can be written again: {newest.name if newest else 'none'}"
            )
        return newest.folder
    if name in {_bare(version.name) for version in known}:
        raise NotFrozen(f"{name} is frozen already; --again writes it anew as long as it is not released")
    return root / f"{int(newest.name.split('-')[0]) + 1 if newest else 1:02}-{name}"


def freeze(target: Path, what: str, written_by: str, date: str) -> Version:
    """Writes a version's folder, whole or not at all. Raises NotFrozen when older messages are unreadable."""
    before = [each for each in released.versions(target.parent) if each.folder != target]
    now = released.today()
    problems = [problem for version in before for problem in released.unreadable(version, now)]
    if problems:
        raise NotFrozen(
            "\n".join(
                [
                    "not frozen, messages that lie on topics could not be read any more:",
                    *problems,
                    "Read both forms, as schemas.sessions.decode does, and tell so in released.MIGRATED.",
                ]
            )
        )
    first = tuple(sorted(released.find_refusals(before[-1].schemas, now))) if before else ()
    if target.exists():
        what = what or Version(target).about.what
    about = About(what=what, date=date, commit=written_by, readers_first=first)
    _write(target, {**golden.files(), ABOUT: _pretty(about), SCHEMAS: lines(now)})
    return Version(target)


def lines(schemas: Mapping[str, Schema]) -> bytes:
    """A line a message."""
    told = [
        f"{msgspec.json.encode(name).decode()}: {msgspec.json.encode(each).decode()}"
        for name, each in sorted(schemas.items())
    ]
    return ("{\n" + ",\n".join(told) + "\n}\n").encode()


def commit() -> str:
    """The checkout's newest commit. Raises NotFrozen outside of git."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise NotFrozen(f"which commit this is cannot be told: {asked.stderr.strip()}")
    return asked.stdout.strip()


def readers_of(message: str) -> str:
    """Who reads a kind of message: by the list of topics, if it lies on one."""
    if message in OFF_TOPICS:
        return OFF_TOPICS[message]
    struct = MESSAGES[message].__name__
    return ", ".join(reader for topic in TOPICS if topic.message == struct for reader in topic.read_by)


def _bare(name: str) -> str:
    return name.split("-", 1)[1]


def _pretty(about: About) -> bytes:
    return msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    with write_folder(target) as part:
        for name, raw in files.items():
            (part / name).write_bytes(raw)
        if target.exists():
            shutil.rmtree(target)


if __name__ == "__main__":
    app(prog_name="python -m infra.freeze")
