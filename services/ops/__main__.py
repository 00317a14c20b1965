"""`python -m services.ops`: the commands of those who run Eddy."""

from typing import Annotated

import typer
from typer.core import TyperGroup

from services.cli import STATUSES, ShowVersion
from services.ops.archive import command as archive_commands
from services.ops.catalogue import command as catalogue_commands
from services.ops.catalogue import events_command
from services.ops.click.command import click
from services.ops.dead_letters import command as dlq_commands
from services.ops.doctor.command import doctor
from services.ops.erase.command import erase
from services.ops.experiments import command as experiment_commands
from services.ops.index import command as index_commands
from services.ops.inspect.command import product, visitor
from services.ops.lag.command import lag
from services.ops.models import command as models_commands
from services.ops.replay.command import replay
from services.ops.settings import is_local
from services.ops.snippet.command import snippet
from services.ops.tenants import command as tenant_commands
from services.ops.topics import command as topic_commands


class Operations(TyperGroup):
    """All commands. `--local` may be said before a command or behind it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """What typer makes of the arguments."""
        return super().parse_args(ctx, sorted(args, key="--local".__ne__))  # to the front, the rest as it was


app = typer.Typer(
    cls=Operations,
    help="Operate Eddy: look inside, replay, mend, forget.",
    epilog=STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def say_where(
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="the stack that `make up` started here, with its keys; also without it where the stack "
            "runs and the environment sets no other key or address",
        ),
    ] = False,
    _version: ShowVersion = False,
) -> None:
    """Keeps what is said before the command."""
    is_local.set(local)


for command in (doctor, click, lag, visitor, product, replay, erase, snippet):
    app.command(epilog=STATUSES)(command)
app.command("export", epilog=STATUSES)(archive_commands.export)
app.command("import", epilog=STATUSES)(archive_commands.import_)
for name, group in {
    "dlq": dlq_commands.app,
    "tenants": tenant_commands.app,
    "topics": topic_commands.app,
    "index": index_commands.app,
    "models": models_commands.app,
    "catalogue": catalogue_commands.app,
    "events": events_command.app,
    "experiment": experiment_commands.app,
}.items():
    app.add_typer(group, name=name)

if __name__ == "__main__":
    app()
