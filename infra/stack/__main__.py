"""`python -m infra.stack up|down|demo|status|keys`: what the Make targets of those names run."""

import shlex
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table

from infra.stack.broker import BrokerUnavailable
from infra.stack.lifecycle import CannotStart, Stack, StepFailed
from infra.stack.programs import programs
from infra.stack.settings import StackSettings
from services.ops import settings as ops_settings
from services.settings import load

T = TypeVar("T")

app = typer.Typer(
    help="The whole flow on this machine.", no_args_is_help=True, pretty_exceptions_enable=False
)
console = Console(highlight=False)


@app.command()
def up() -> None:
    """Start everything in the background; returns when the shop is ready. Twice is harmless.

    Example: EDDY_SHOP_PORT=9000 python -m infra.stack up
    """
    stack = Stack(load(StackSettings))
    _clearly(lambda: stack.up(_tell))
    console.print(f"\nThe shop: [bold]{stack.shop_url}[/]   (`make down` stops it)")


@app.command()
def down() -> None:
    """Stop everything that `up` or `demo` started.

    Example: python -m infra.stack down
    """
    stack = Stack(load(StackSettings))
    stopped = _clearly(stack.down)
    console.print("stopped" if stopped else "nothing was running")


@app.command()
def demo() -> None:
    """Start everything and run until Ctrl-C.

    Example: python -m infra.stack demo
    """
    stack = Stack(load(StackSettings))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _clearly(lambda: stack.up(_tell))
        console.print(f"\nThe shop: [bold]{stack.shop_url}[/]   Ctrl-C stops it. Logs: build/stack/logs/")
        stop.wait()
    finally:
        console.print("stopping …")
        stack.down()


@app.command()
def status() -> None:
    """Show what runs.

    Example: python -m infra.stack status
    """
    settings = load(StackSettings)
    stack = Stack(settings)
    if not stack.supervisor.is_running:
        console.print("nothing is running: `make up` starts it")
        raise typer.Exit(1)
    table = Table("program", "state", "ports")
    for program in programs(settings):
        told = stack.supervisor.program(program.name)
        table.add_row(program.name, told.description, ", ".join(map(str, program.ports.values())))
    console.print(table)


@app.command()
def keys() -> None:
    """Print addresses and keys of the stack here, as lines that a shell takes.

    Example: eval "$(python -m infra.stack keys)"
    """
    try:
        told = ops_settings.read_local_stack(load(StackSettings).stack_folder)
    except ops_settings.NoLocalStack as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    for name, value in told.items():
        if name.endswith(("_KEY", "_URL")):  # not Kafka's: `make up` would take it for a Kafka of one's own
            typer.echo(f"export {name}={shlex.quote(value)}")


def _tell(what: str, seconds: float) -> None:
    console.print(f"  {what:<45} {seconds:6.1f} s")


def _clearly(step: Callable[[], T]) -> T:
    """Ends with one sentence where a person can do something about it."""
    try:
        return step()
    except (CannotStart, StepFailed, BrokerUnavailable) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
