"""`topics create` and `topics check`."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import typer
from confluent_kafka import KafkaException
from rich.table import Table
from rich.text import Text

from schemas.topics import TOPICS
from services.endings import AnswerIsNo
from services.history.partitions import BrokerAway
from services.ops import topics
from services.ops.settings import OpsSettings
from services.ops.shell import AsJson, console, ending_clearly, print_json, settings
from services.ops.topic_drift import Difference

T = TypeVar("T")

app = typer.Typer(help="The topics of schemas/topics.py on the broker.", no_args_is_help=True)


@app.command()
def create(
    replication: Annotated[int, typer.Option(min=1, help="replicas of each new topic")] = 1,
) -> None:
    """Create the topics that are missing; what exists is left alone.

    Example: EDDY_KAFKA_BOOTSTRAP=kafka:9092 python -m services.ops topics create --replication 3
    """
    with ending_clearly(stopped="run it again: what exists is left alone"):
        found = settings()
        made = _asked(found, lambda: topics.create(found, replication=replication))
        table = Table("topic", "partitions", "cleanup", "")
        for topic in TOPICS:
            name = found.topic(topic)
            table.add_row(
                name, str(topic.partitions), topic.cleanup, "created" if name in made else "was there"
            )
        console.print(table)


@app.command()
def check(
    fix: Annotated[
        bool, typer.Option("--fix", help="set the topics' configuration where that deletes nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the broker's topics with the list, and tell what to do; ends with 1 when they differ.

    --fix sets what deletes nothing. A shorter retention deletes messages, so it is left to you; partition
    counts are never changed: keys would move to other partitions. Topics that the list does not know are
    drift under a prefix; without one the broker may be shared, and they are only told. Changelogs of Faust,
    and the topics of shadow runs and other prefixes, are left out.

    Example: python -m services.ops topics check --fix
    """
    with ending_clearly(stopped="run it again: each setting is made whole or not at all"):
        found = settings()
        differences = _asked(found, lambda: topics.differences(found))
        fixed: Sequence[Difference] = []
        if fix:
            fixed = _asked(found, lambda: topics.fix(found, differences))
            differences = [each for each in differences if each not in fixed]
        if as_json:
            print_json({"differences": differences, "fixed": fixed})
        else:
            _show(differences, fixed)
        if drifts := sum(each.is_drift for each in differences):
            raise AnswerIsNo(f"{drifts} differences between schemas/topics.py and the broker")


def _show(differences: Sequence[Difference], fixed: Sequence[Difference]) -> None:
    for each in fixed:
        console.print(Text(f"{each.topic}: {each.found}, now {each.expected}", "green"))
    for each in differences:
        console.print(Text(str(each), "red" if each.is_drift else "yellow"))
        console.print(Text(f"  → {each.what_to_do}"), soft_wrap=True)
    if not any(each.is_drift for each in differences):
        console.print(f"{len(TOPICS)} topics are as schemas/topics.py lists them")


def _asked(found: OpsSettings, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except KafkaException as error:
        raise BrokerAway(
            f"no Kafka broker answers at {found.kafka_bootstrap} ({error.args[0].str()}): "
            "start it, or set EDDY_KAFKA_BOOTSTRAP"
        ) from None
