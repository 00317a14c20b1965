"""`topics create` and `topics check`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import typer
from confluent_kafka.admin import ConfigEntry, ConfigSource, TopicMetadata
from rich.table import Table
from rich.text import Text

from schemas.topics import TOPICS
from services.cli import AnswerIsNo, AsJson, console, print_json
from services.kafka import admin
from services.kafka.admin import KafkaAdmin, require_broker
from services.ops.output import ending_clearly, settings
from services.ops.topics.drift import Difference, FoundTopic, compared
from services.settings import ServiceSettings

LOOK_S: Final = 5.0


def find_drift(settings: ServiceSettings) -> list[Difference]:
    """Every drift between list and broker; an empty list means all is well. Raises KafkaException."""
    return [each for each in find_differences(settings) if each.is_drift]


def find_differences(settings: ServiceSettings, timeout_s: float = LOOK_S) -> list[Difference]:
    """Every difference, and what else is worth knowing. Raises KafkaException."""
    admin = KafkaAdmin(settings, timeout_s)
    metadata = admin.cluster()
    mine = {settings.topic(topic) for topic in TOPICS} & metadata.topics.keys()
    configs = admin.configs(sorted(mine))
    found = {name: _found(metadata.topics[name], configs[name]) for name in mine}
    return compared(settings.topic_prefix, found, metadata.topics.keys(), brokers=len(metadata.brokers))


def apply_fixes(settings: ServiceSettings, found: Iterable[Difference]) -> list[Difference]:
    """Sets what of these can be set safely; returns what was. Raises KafkaException."""
    admin = KafkaAdmin(settings)
    fixed: list[Difference] = []
    for each in found:
        if each.alter is None:
            continue
        admin.set_config(each.topic, *each.alter)
        fixed.append(each)
    return fixed


def _found(topic: TopicMetadata, config: Mapping[str, ConfigEntry]) -> FoundTopic:
    partitions = topic.partitions.values()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG
    return FoundTopic(
        partitions=len(partitions),
        replicas=min((len(each.replicas) for each in partitions), default=0),
        out_of_sync=tuple(sorted(each.id for each in partitions if len(each.isrs) < len(each.replicas))),
        leaderless=tuple(sorted(each.id for each in partitions if each.leader < 0)),
        config={key: str(entry.value) for key, entry in config.items()},
        overrides={
            key: str(entry.value) for key, entry in config.items() if entry.source in {own, own.value}
        },
    )


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
        with require_broker(found):
            made = admin.create(found, replication=replication)
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
        fixed: Sequence[Difference] = []
        with require_broker(found):
            differences = find_differences(found)
            if fix:
                fixed = apply_fixes(found, differences)
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
