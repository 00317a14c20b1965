"""What every command stands on: its settings, where it writes, and how it ends."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from services import endings
from services.history.partitions import BrokerAway
from services.history.timerange import BadTime
from services.kafka import TopicMissing
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed
from services.ops.settings import OpsSettings
from services.settings import load

STATUSES: Final = (
    "Status 0: done. 1: what was found is not as it should be. 2: it cannot be done, and why is said. "
    "130, 143: stopped."
)

console = Console()
progress_console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, for machines")]


def settings() -> OpsSettings:
    """The command's settings; librdkafka is quiet, since what goes wrong is told in a sentence."""
    found = load(OpsSettings)
    if found.log_level != "DEBUG":
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    return found


@contextmanager
def ending_clearly(*mendable: type[Exception], stopped: str = "nothing is left half-made") -> Iterator[None]:
    """For a command's block; `mendable` are its own failures beside those that all commands share."""
    shared = (ArtifactRefused, BadTime, BrokerAway, StoreFailed, TopicMissing)
    with endings.ending_clearly((*shared, *mendable), stopped=stopped):
        yield


def confirm(question: str, *, yes: bool) -> None:
    """Asks a person, unless `yes`. Raises CannotBeDone when the answer is no, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise endings.CannotBeDone(f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(question, err=True):
        raise endings.CannotBeDone("nothing was done")


def print_json(answer: object) -> None:
    """One line of JSON on stdout: structs, or what JSON can hold."""
    typer.echo(msgspec.json.encode(answer).decode())
