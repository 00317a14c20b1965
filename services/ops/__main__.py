"""`python -m services.ops`: the commands of those who run Eddy."""

import typer

from services.ops import catalogue_commands, event_commands, topic_commands
from services.ops.experiments import commands as experiment_commands

app = typer.Typer(
    help="Operate Eddy: topics, catalogues, events, experiments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(topic_commands.app, name="topics")
app.add_typer(catalogue_commands.app, name="catalogue")
app.add_typer(event_commands.app, name="events")
app.add_typer(experiment_commands.app, name="experiment")

if __name__ == "__main__":
    app()
