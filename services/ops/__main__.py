"""`python -m services.ops`: the commands of those who run Eddy."""

import typer

from services.cli import STATUSES
from services.ops.archive import command as archive_commands
from services.ops.catalogue import command as catalogue_commands
from services.ops.catalogue import events_command
from services.ops.dead_letters import command as dlq_commands
from services.ops.doctor.command import doctor
from services.ops.erase.command import erase
from services.ops.experiments import command as experiment_commands
from services.ops.index import command as index_commands
from services.ops.inspect.product.command import product
from services.ops.inspect.visitor.command import visitor
from services.ops.lag.command import lag
from services.ops.models import command as models_commands
from services.ops.replay.command import replay
from services.ops.topics import command as topic_commands

app = typer.Typer(
    help="Operate Eddy: look inside, replay, mend, forget.",
    epilog=STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (doctor, lag, visitor, product, replay, erase):
    app.command(epilog=STATUSES)(command)
app.command("export", epilog=STATUSES)(archive_commands.export)
app.command("import", epilog=STATUSES)(archive_commands.import_)
for name, group in {
    "dlq": dlq_commands.app,
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
