"""`python -m services.ops`: the commands of those who run Eddy."""

import typer

from services.ops import (
    catalogue_commands,
    event_commands,
    models_commands,
    topic_commands,
)
from services.ops.archives import commands as archive_commands
from services.ops.dlq import commands as dlq_commands
from services.ops.doctor.commands import doctor
from services.ops.erase.commands import erase
from services.ops.experiments import commands as experiment_commands
from services.ops.index import commands as index_commands
from services.ops.lag_commands import lag
from services.ops.product.commands import product
from services.ops.replay.commands import replay
from services.ops.shell import STATUSES
from services.ops.visitor.commands import visitor

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
    "events": event_commands.app,
    "experiment": experiment_commands.app,
}.items():
    app.add_typer(group, name=name)

if __name__ == "__main__":
    app()
