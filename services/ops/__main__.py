"""`python -m services.ops`: the commands of those who run Eddy."""

import typer

from services.ops import load_commands, topic_commands

app = typer.Typer(
    help="Operate Eddy: topics, catalogues, events.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(topic_commands.app, name="topics")
app.add_typer(load_commands.catalogue, name="catalogue")
app.add_typer(load_commands.events_app, name="events")

if __name__ == "__main__":
    app()
