"""How the broker's topics differ from `schemas/topics.py`, and what to do about each difference. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from schemas.topics import MIN_IN_SYNC, TOPICS, Topic, durability

ALTER: Final = "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics"

# Set on every topic by the broker itself.
OF_THE_BROKER: Final = frozenset({MIN_IN_SYNC})
CHANGELOG: Final = "-changelog"  # of a Faust table: Faust makes and keeps it
INTERNAL: Final = "__"

Kind = Literal["missing", "partitions", "config", "replication", "unknown", "override"]

WHY_NOT_PARTITIONS: Final = (
    "partition counts are never changed: keys would move to other partitions, away from their order and from "
    "the sessions that Faust keeps by partition. Create the topics anew under another EDDY_TOPIC_PREFIX and "
    "copy the history there (`python -m services.ops export` and `import`)"
)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the broker is not as `schemas/topics.py` says.

    `is_drift` is False for what may well be so: it is shown, and no reason to end with 1. `alter` is what
    `topics check --fix` sets; None where that is not safe, or no configuration.
    """

    topic: str
    kind: Kind
    found: str
    expected: str
    what_to_do: str
    is_drift: bool = True
    alter: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.topic}: {self.found}, expected {self.expected}"


class TopicOnBroker(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the broker tells: `replicas` of the worst partition; partitions out of sync or leaderless.

    `overrides` are the settings made on the topic itself.
    """

    partitions: int
    replicas: int
    out_of_sync: tuple[int, ...] = ()
    leaderless: tuple[int, ...] = ()
    config: Mapping[str, str] = {}
    overrides: Mapping[str, str] = {}


def is_changelog(name: str, prefix: str) -> bool:
    """Whether a topic is one of Faust's tables of this installation: it has to be as safe as the listed."""
    return name.startswith(prefix) and name.endswith(CHANGELOG)


def compare(
    prefix: str,
    found: Mapping[str, TopicOnBroker],
    all_names: Iterable[str],
    *,
    brokers: int,
    replicas: int = 1,
    in_sync: int | None = None,
) -> list[Difference]:
    """The list against what was found under the prefix, and the names of all topics on the broker.

    `replicas` is how many each partition is to have, `in_sync` how many must have what is acknowledged.
    """
    unknown = [_unknown(name, prefix) for name in unknown_names(prefix, all_names)]
    safe = [
        each
        for name, there in found.items()
        for each in (*_replication(name, there, brokers, replicas), *_durability(name, there, in_sync))
    ]
    return [*_differences(prefix, found), *safe, *unknown]


def _differences(prefix: str, found: Mapping[str, TopicOnBroker]) -> Iterator[Difference]:
    for topic in TOPICS:
        name = topic.full_name(prefix)
        if (there := found.get(name)) is None:
            yield Difference(
                topic=name,
                kind="missing",
                found="missing",
                expected="a topic (`python -m services.ops topics create`)",
                what_to_do="create it: python -m services.ops topics create",
            )
            continue
        if there.partitions != topic.partitions:
            yield Difference(
                topic=name,
                kind="partitions",
                found=f"{there.partitions} partitions",
                expected=f"{topic.partitions} partitions",
                what_to_do=WHY_NOT_PARTITIONS,
            )
        yield from _config_differences(name, topic, there)
        yield from _overrides(name, topic, there)


def unknown_names(prefix: str, all_names: Iterable[str]) -> list[str]:
    """Topics under the prefix that are not in the list.

    Left out are those of the broker itself, changelogs of Faust's tables, and those of other installations
    and shadow runs: of a longer prefix that has at least half of the listed topics.
    """
    names = set(all_names)
    ours = {topic.full_name(prefix) for topic in TOPICS}
    counts: dict[str, int] = {}
    for name in names:
        for topic in TOPICS:
            other = name.removesuffix(topic.name)
            if other not in {name, prefix}:
                counts[other] = counts.get(other, 0) + 1
    others = tuple(other for other, count in counts.items() if 2 * count >= len(TOPICS))
    elsewhere = tuple(other for other in others if len(other) > len(prefix))
    return sorted(
        name
        for name in names - ours
        if name.startswith(prefix)
        and not name.startswith(INTERNAL)
        and not name.endswith(CHANGELOG)
        and not name.startswith(elsewhere)
    )


def _config_differences(name: str, topic: Topic, there: TopicOnBroker) -> Iterator[Difference]:
    for key, value in topic.config().items():
        found = there.config.get(key, "unset")
        if sorted(found.split(",")) == sorted(value.split(",")):
            continue
        loses = _would_delete(key, found, value)
        quoted = f"[{value}]" if "," in value else value
        by_hand = f"{ALTER} --entity-name {name} --add-config {key}={quoted}"
        yield Difference(
            topic=name,
            kind="config",
            found=f"{key}={found}",
            expected=f"{key}={value}",
            what_to_do=(
                f"{loses}, so it is left to you: {by_hand}"
                if loses
                else f"python -m services.ops topics check --fix (the same as {by_hand})"
            ),
            alter=None if loses else (key, value),
        )


def _would_delete(key: str, found: str, expected: str) -> str:
    """What the broker would delete that it keeps now, in words; empty where the change loses nothing."""
    if key == "retention.ms" and found.lstrip("-").isdigit():
        kept, wanted = int(found), int(expected)
        if kept < 0 or kept > wanted:
            return "messages older than that would be deleted at once"
    if key == "retention.bytes" and found.lstrip("-").isdigit():
        kept, wanted = int(found), int(expected)
        if kept < 0 or kept > wanted:
            return "the oldest messages beyond that would be deleted at once"
    if key == "cleanup.policy" and "delete" in expected and "delete" not in found:
        return "messages older than the topic's retention would be deleted at once"
    return ""


def _replication(name: str, there: TopicOnBroker, brokers: int, wanted: int) -> Iterator[Difference]:
    for numbers, found in (
        (there.leaderless, "without a leader"),
        (there.out_of_sync, "not fully replicated"),
    ):
        if numbers:
            partitions = ", ".join(map(str, numbers))
            yield Difference(
                topic=name,
                kind="replication",
                found=f"partition {partitions} {found}",
                expected="every replica in sync",
                what_to_do="a broker is away or behind: see that all run, and what their logs say",
            )
    if there.replicas < wanted:
        yield Difference(
            topic=name,
            kind="replication",
            found=f"{there.replicas} replicas",
            expected=f"{wanted} (EDDY_TOPIC_REPLICAS)",
            what_to_do="brokers that are lost take this topic along: kafka-reassign-partitions.sh gives it "
            "more, nothing else does",
        )
    elif there.replicas == 1 and brokers >= 3:
        yield Difference(
            topic=name,
            kind="replication",
            found="1 replica",
            expected=f"3 replicas on {brokers} brokers",
            what_to_do="a broker that is lost takes this topic with it: kafka-reassign-partitions.sh, "
            "or EDDY_TOPIC_REPLICAS=3 at `topics create`",
            is_drift=False,
        )


def _durability(name: str, there: TopicOnBroker, in_sync: int | None) -> Iterator[Difference]:
    for key, value in durability(there.replicas, in_sync).items():
        found = there.config.get(key, "1")
        if found.isdigit() and int(found) < int(value):
            yield Difference(
                topic=name,
                kind="config",
                found=f"{key}={found} with {there.replicas} replicas",
                expected=f"{key}={value}",
                what_to_do="what is acknowledged may lie on one broker alone, and be lost with it: "
                f"python -m services.ops topics check --fix (the same as {ALTER} --entity-name {name} "
                f"--add-config {key}={value})",
                alter=(key, value),
            )


def _overrides(name: str, topic: Topic, there: TopicOnBroker) -> Iterator[Difference]:
    listed = topic.config().keys() | OF_THE_BROKER
    for key, value in sorted(there.overrides.items()):
        if key not in listed:
            yield Difference(
                topic=name,
                kind="override",
                found=f"{key}={value}",
                expected="no setting of its own",
                what_to_do=f"somebody has set it: if nobody knows why, {ALTER} --entity-name {name} "
                f"--delete-config {key}",
                is_drift=False,
            )


def _unknown(name: str, prefix: str) -> Difference:
    return Difference(
        topic=name,
        kind="unknown",
        found="a topic that schemas/topics.py does not know",
        expected="none under this prefix" if prefix else "none, or somebody else's",
        what_to_do=f"if nobody needs it: kafka-topics.sh --delete --topic {name}",
        is_drift=bool(prefix),  # without a prefix the broker may be shared with others
    )
