"""`topics create` and `topics check`."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from schemas.topics import TOPICS
from services.ops import topics
from services.ops.settings import OpsSettings
from services.settings import load

T = TypeVar("T")

app = typer.Typer(help="The topics of schemas/topics.py on the broker.", no_args_is_help=True)
console = Console()


@app.command()
def create(
    replication: Annotated[int, typer.Option(min=1, help="replicas of each new topic")] = 1,
) -> None:
    """Create the topics that are missing; what exists is left alone.

    Example: EDDY_KAFKA_BOOTSTRAP=kafka:9092 python -m services.ops topics create --replication 3
    """
    settings = load(OpsSettings)
    made = _asked(settings, lambda: topics.create(settings, replication=replication))
    table = Table("topic", "partitions", "cleanup", "")
    for topic in TOPICS:
        name = settings.topic(topic)
        table.add_row(name, str(topic.partitions), topic.cleanup, "created" if name in made else "was there")
    console.print(table)


@app.command()
def check() -> None:
    """Compare the broker's topics with the list; ends with 1 when they differ.

    Example: python -m services.ops topics check
    """
    settings = load(OpsSettings)
    differences = _asked(settings, lambda: topics.check(settings))
    for difference in differences:
        console.print(str(difference), style="red", highlight=False)
    if differences:
        raise typer.Exit(1)
    console.print(f"{len(TOPICS)} topics are as schemas/topics.py lists them")


def _asked(settings: OpsSettings, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except KafkaException as error:
        typer.echo(
            f"no Kafka broker answers at {settings.kafka_bootstrap} ({error.args[0].str()}): "
            "start it, or set EDDY_KAFKA_BOOTSTRAP",
            err=True,
        )
        raise typer.Exit(2) from None
