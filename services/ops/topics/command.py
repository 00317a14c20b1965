"""`topics create` and `topics check`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import typer
from confluent_kafka.admin import ConfigEntry, ConfigSource, TopicMetadata
from rich.text import Text

from schemas.topics import TOPICS, Topic
from services.cli import AsJson, console, exit_with_status
from services.errors import CheckFailed
from services.kafka import admin
from services.kafka.admin import KafkaAdmin, require_broker
from services.ops.output import Column, present, say, table
from services.ops.settings import load_settings
from services.ops.topics.drift import Difference, TopicOnBroker, compare, is_changelog
from services.settings import ServiceSettings, TopicSettings

LOOK_S: Final = 5.0


def find_differences(settings: TopicSettings, timeout_s: float = LOOK_S) -> list[Difference]:
    """Every difference, and what else is worth knowing. Raises KafkaException."""
    admin = KafkaAdmin(settings, timeout_s)
    metadata = admin.cluster()
    mine = {settings.topic(topic) for topic in TOPICS} & metadata.topics.keys()
    mine |= {name for name in metadata.topics if is_changelog(name, settings.topic_prefix)}
    configs = admin.configs(sorted(mine))
    found = {name: _describe(metadata.topics[name], configs[name]) for name in mine}
    return compare(
        settings.topic_prefix,
        found,
        metadata.topics.keys(),
        brokers=len(metadata.brokers),
        replicas=settings.topic_replicas,
        in_sync=settings.topic_min_isr,
    )


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


def _describe(topic: TopicMetadata, config: Mapping[str, ConfigEntry]) -> TopicOnBroker:
    partitions = topic.partitions.values()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG
    return TopicOnBroker(
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
    replication: Annotated[
        int | None, typer.Option(min=1, help="replicas of each new topic (default: EDDY_TOPIC_REPLICAS)")
    ] = None,
) -> None:
    """Create the topics that are missing; what exists is left alone.

    Example: EDDY_KAFKA_BOOTSTRAP=kafka:9092 python -m services.ops topics create --replication 3
    """
    with exit_with_status(stopped="run it again: what exists is left alone"):
        found = load_settings()
        with require_broker(found):
            created = admin.create(
                found, replication=replication or found.topic_replicas, in_sync=found.topic_min_isr
            )
        columns: tuple[Column[Topic], ...] = (
            Column("topic", found.topic),
            Column("partitions", lambda topic: topic.partitions),
            Column("cleanup", lambda topic: topic.cleanup),
            Column("", lambda topic: "created" if found.topic(topic) in created else "was there"),
        )
        console.print(table(TOPICS, columns))


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
    with exit_with_status(stopped="run it again: each setting is made whole or not at all"):
        found = load_settings()
        with require_broker(found):
            differences = find_differences(found)
            fixed = apply_fixes(found, differences) if fix else []
        differences = [each for each in differences if each not in fixed]
        answer = {"differences": differences, "fixed": fixed}
        present(answer, lambda _answer: _show(differences, fixed), as_json=as_json)
        if drifts := sum(each.is_drift for each in differences):
            raise CheckFailed(f"{drifts} differences between schemas/topics.py and the broker")


def _show(differences: Sequence[Difference], fixed: Sequence[Difference]) -> None:
    for each in fixed:
        say(Text(f"{each.topic}: {each.found}, now {each.expected}", "green"), wrap=True)
    for each in differences:
        say(Text(str(each), "red" if each.is_drift else "yellow"), wrap=True)
        say(Text(f"  → {each.what_to_do}"))
    if not any(each.is_drift for each in differences):
        console.print(f"{len(TOPICS)} topics are as schemas/topics.py lists them")
