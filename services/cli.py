"""Commands: how a process starts, what its options share, and how it ends.

Status 0: done. 1: a check failed (a gate is against it, something differs). 2: it cannot be done.
130 and 143: Ctrl-C and SIGTERM.
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, Annotated, Final, NoReturn, TypeVar

import msgspec
import typer
from confluent_kafka import KafkaException
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.segment import Segment

from schemas.unreadable import printable, printable_json
from services.errors import CheckFailed, OperationFailed, UsageError
from services.kafka.clients import NotDelivered
from services.logging import configure_logging
from services.settings import HttpSettings, ServiceSettings, load
from services.tenants import Tenant, load_tenants
from services.version import VERSION

STATUSES: Final = (
    "Status 0: done. 1: what was found is not as it should be. 2: it cannot be done, and why is said. "
    "130, 143: stopped."
)


class Terminal(Console):
    """A console that prints what names, ids and errors hold, and obeys none of it.

    Neither escapes of terminals (they are shown as `\\x1b`) nor rich's own markup (`[red]`) in data count;
    styles are given beside the text.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        force_terminal: bool | None = None,
        highlight: bool = True,
        soft_wrap: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr,
            file=file,
            force_terminal=force_terminal,
            highlight=highlight,
            soft_wrap=soft_wrap,
            width=width,
            markup=False,
            emoji=False,
        )

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """All that is printed goes through here; what rich itself tells the terminal is control, or style."""
        return super()._render_buffer(
            each if each.control else Segment(printable(each.text), each.style) for each in buffer
        )


console = Terminal()
progress_console = Terminal(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, for machines")]


def confirm(
    question: str, *, yes: bool, unattended: str | None = None, declined: str = "nothing was done"
) -> None:
    """Asks a person, unless `yes`.

    Raises UsageError when the answer is no (`declined`), or nobody can be asked (`unattended`).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(unattended or f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(printable(question), err=True):
        raise UsageError(declined)


def say_version(wanted: bool) -> None:
    """For `--version` of commands: tells it, and ends."""
    if wanted:
        typer.echo(f"eddy {VERSION}")
        raise typer.Exit


ShowVersion = Annotated[
    bool, typer.Option("--version", callback=say_version, is_eager=True, help="say which release this is")
]


def print_json(answer: object) -> None:
    """One line of JSON on stdout: structs, or what JSON can hold."""
    typer.echo(printable_json(msgspec.json.encode(answer).decode()))


S = TypeVar("S", bound=ServiceSettings)


def start(kind: type[S], service: str, purpose: str, example: str) -> S:
    """The process's settings, with logging configured; ends it on `--help`, `--version` or a bad setting."""
    _parse_arguments(kind, service, purpose, example)
    settings = load(kind)
    configure_logging(settings, service)
    return settings


H = TypeVar("H", bound=HttpSettings)


def start_tenants(kind: type[H], service: str, purpose: str, example: str) -> tuple[Tenant[H], ...]:
    """The same for a process that may serve several tenants: at least one."""
    _parse_arguments(kind, service, purpose, example)
    tenants = load_tenants(kind)
    configure_logging(tenants[0].settings, service, *(each.settings for each in tenants[1:]))
    return tenants


def _parse_arguments(kind: type[ServiceSettings], service: str, purpose: str, example: str) -> None:
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=purpose,
        epilog=f"settings, from the environment:\n{describe_settings(kind)}\n\nexample:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eddy {VERSION}")
    parser.parse_args()


def describe_settings(kind: type[ServiceSettings]) -> str:
    """A line a setting: its name, its default, what it means."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    return "\n".join(
        f"  {prefix}{name.upper()}={_format_default(field.get_default(call_default_factory=True))}\n"
        f"      {field.description}"
        for name, field in kind.model_fields.items()
    )


def _format_default(default: object) -> str:
    if default is PydanticUndefined:
        return "(required)"
    return "" if default is None else str(default)


NO: Final = 1
CANNOT: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM


class _Terminated(SystemExit):
    """SIGTERM came. asyncio lets SystemExit through, and no handler takes it for a failure of its own."""


@contextmanager
def exit_with_status(
    *, stopped: str = "nothing is left half-made", not_delivered: str = "run it again"
) -> Iterator[None]:
    """For a command's block, in the main thread: what was begun is cleared away before the process ends.

    CheckFailed ends with 1, OperationFailed with 2, each with its text; `stopped` follows a signal's word.
    """
    former = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except CheckFailed as error:
        _end(str(error), NO)
    except OperationFailed as error:
        _end(str(error), CANNOT)
    except NotDelivered as error:
        if error.refused:
            remedy = "it never will: leave that message out, or raise max.message.bytes of its topic"
            _end(f"the broker refuses a message ({error}); {remedy}", CANNOT)
        _end(f"the broker did not take all of it ({error}): {not_delivered}", CANNOT)
    except KafkaException as error:
        reason = error.args[0].str()
        _end(f"no Kafka broker answers ({reason}): start it, or set EDDY_KAFKA_BOOTSTRAP", CANNOT)
    except UnicodeEncodeError as error:  # a shell hands over bytes that are no text, such as those of Latin-1
        _end(f"{error.object!r} is no text in UTF-8: write it as one", CANNOT)
    except OSError as error:  # a full disk, a folder that may not be written
        _end(f"{error.filename or 'a file'}: {error.strerror or error}", CANNOT)
    except KeyboardInterrupt:
        _end(f"stopped; {stopped}", INTERRUPTED)
    except _Terminated:
        _end(f"stopped by SIGTERM; {stopped}", TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, former)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _end(sentence: str, status: int) -> NoReturn:
    print(printable(sentence), file=sys.stderr)
    raise typer.Exit(status) from None
