"""How the broker's topics may differ from the list, and what is safe to set."""

import msgspec
import pytest

from schemas.topics import EVENTS, PRODUCTS, SESSIONS, TOPICS
from services.ops.topics.drift import Difference, TopicOnBroker, compare, unknown_names

PREFIX = "t."
NAMES = [topic.full_name(PREFIX) for topic in TOPICS]


def as_listed() -> dict[str, TopicOnBroker]:
    return {
        topic.full_name(PREFIX): TopicOnBroker(
            partitions=topic.partitions,
            replicas=1,
            config={"compression.type": "producer", "min.insync.replicas": "2"} | topic.config(),
            overrides=topic.config() | {"min.insync.replicas": "1"},
        )
        for topic in TOPICS
    }


def change(topic: str, **fields: object) -> list[Difference]:
    found = as_listed()
    found[PREFIX + topic] = msgspec.structs.replace(found[PREFIX + topic], **fields)
    return compare(PREFIX, found, NAMES, brokers=1)


def configure(topic: str, **settings: str) -> list[Difference]:
    before = as_listed()[PREFIX + topic].config
    return change(
        topic, config=dict(before) | {key.replace("_", "."): each for key, each in settings.items()}
    )


def test_topics_as_listed_differ_in_nothing() -> None:
    assert compare(PREFIX, as_listed(), NAMES, brokers=1) == []


def test_a_missing_topic_is_to_be_created() -> None:
    found = as_listed()
    del found["t.sessions"]
    [difference] = compare(PREFIX, found, NAMES, brokers=1)
    assert (difference.kind, difference.topic) == ("missing", "t.sessions")
    assert "topics create" in difference.what_to_do


def test_partitions_are_never_changed_and_why_is_said() -> None:
    [difference] = change("events", partitions=12)
    assert str(difference) == "t.events: 12 partitions, expected 8 partitions"
    assert difference.alter is None
    assert "keys would move" in difference.what_to_do


@pytest.mark.parametrize(
    ("topic", "key", "found", "is_safe"),
    [
        ("events", "retention_ms", "86400000", True),  # longer keeps more
        ("events", "retention_ms", "-1", False),  # shorter deletes
        ("events", "retention_ms", "9999999999999", False),
        ("products", "cleanup_policy", "delete", True),
        ("products", "cleanup_policy", "compact,delete", True),
        ("events", "cleanup_policy", "compact", False),
        ("sessions", "cleanup_policy", "compact", False),
        ("sessions", "cleanup_policy", "delete", True),
        ("products", "segment_ms", "604800000", True),
    ],
)
def test_only_what_deletes_nothing_is_set(topic: str, key: str, found: str, is_safe: bool) -> None:
    [difference] = configure(topic, **{key: found})
    name = key.replace("_", ".")
    wanted = {each.name: each for each in TOPICS}[topic].config()[name]
    assert difference.is_drift
    assert difference.alter == ((name, wanted) if is_safe else None)
    assert f"--entity-name t.{topic} --add-config {name}=" in difference.what_to_do
    assert ("--fix" in difference.what_to_do) is is_safe


def test_the_order_of_a_cleanup_policy_says_nothing_and_a_command_quotes_it() -> None:
    assert configure("sessions", cleanup_policy="delete,compact") == []
    [difference] = configure("sessions", cleanup_policy="compact")
    assert "cleanup.policy=[compact,delete]" in difference.what_to_do


def test_a_broker_that_is_away_is_seen_by_the_partitions_it_had() -> None:
    [difference] = change("events", out_of_sync=(1, 4), replicas=3)
    assert difference.found == "partition 1, 4 not fully replicated"
    [difference] = change("events", leaderless=(2,))
    assert difference.found == "partition 2 without a leader"


def test_one_replica_on_many_brokers_and_settings_of_others_are_told_and_no_drift() -> None:
    notes = compare(PREFIX, as_listed(), NAMES, brokers=3)
    assert {each.kind for each in notes} == {"replication"}
    assert not any(each.is_drift for each in notes)
    [note] = change("events", overrides={"retention.bytes": "1000"})
    assert (note.kind, note.is_drift) == ("override", False)
    assert "--delete-config retention.bytes" in note.what_to_do


def test_topics_that_nobody_knows_are_named_and_those_of_others_are_not() -> None:
    shadow = [topic.full_name("t.shadow.") for topic in TOPICS]
    others = [topic.full_name("other.") for topic in TOPICS]
    table = "t.session-processor-sessions-changelog"
    stray = ["t.evnets", "t.shadow2.events"]
    names = [*NAMES, *shadow, "t.shadow.mine", *others, table, "__consumer_offsets", *stray]
    assert unknown_names(PREFIX, names) == sorted(stray)
    assert unknown_names("", [*(topic.name for topic in TOPICS), *others, "foreign", "__x"]) == ["foreign"]
    # A shorter prefix's topics are not taken for a reason to overlook one's own.
    assert unknown_names(PREFIX, [*NAMES, *(topic.name for topic in TOPICS), "t.evnets"]) == ["t.evnets"]


def test_an_unknown_topic_is_drift_under_a_prefix_and_a_note_on_a_shared_broker() -> None:
    [under] = compare(PREFIX, as_listed(), [*NAMES, "t.evnets"], brokers=1)
    assert under.is_drift
    bare = {name.removeprefix(PREFIX): each for name, each in as_listed().items()}
    [shared] = compare("", bare, [*bare, "evnets"], brokers=1)
    assert not shared.is_drift


def test_every_kind_of_cleanup_is_in_the_list() -> None:
    assert {EVENTS.cleanup, PRODUCTS.cleanup, SESSIONS.cleanup} == {topic.cleanup for topic in TOPICS}


@pytest.mark.parametrize(
    ("replicas", "in_sync", "is_drift"), [(1, "1", False), (2, "1", False), (3, "1", True), (3, "2", False)]
)
def test_of_three_replicas_two_have_to_have_what_is_acknowledged(
    replicas: int, in_sync: str, is_drift: bool
) -> None:
    config = dict(as_listed()["t.events"].config) | {"min.insync.replicas": in_sync}
    found = change("events", replicas=replicas, config=config)
    assert [each.alter for each in found] == ([("min.insync.replicas", "2")] if is_drift else [])
    if is_drift:
        assert "topics check --fix" in found[0].what_to_do


def test_less_replicas_than_asked_for_are_drift_that_no_setting_mends() -> None:
    found = {name: msgspec.structs.replace(each, replicas=3) for name, each in as_listed().items()}
    found["t.events"] = msgspec.structs.replace(found["t.events"], replicas=2)
    [difference] = compare(PREFIX, found, NAMES, brokers=3, replicas=3)
    assert str(difference) == "t.events: 2 replicas, expected 3 (EDDY_TOPIC_REPLICAS)"
    assert difference.is_drift
    assert difference.alter is None


def test_how_many_must_have_what_is_acknowledged_is_what_was_set() -> None:
    found = {name: msgspec.structs.replace(each, replicas=4) for name, each in as_listed().items()}
    altered = compare(PREFIX, found, NAMES, brokers=4, replicas=4, in_sync=3)
    assert {each.alter for each in altered} == {("min.insync.replicas", "3")}
    assert {each.topic for each in altered} == set(NAMES)
    assert compare(PREFIX, found, NAMES, brokers=4, replicas=4, in_sync=2) == []


def test_the_changelog_of_a_table_is_as_safe_as_the_topics_and_else_its_own_matter() -> None:
    changelog = TopicOnBroker(partitions=8, replicas=3, config={"cleanup.policy": "compact"})
    found = as_listed() | {"t.group-sessions-changelog": changelog}
    differences = compare(PREFIX, found, [*NAMES, "t.group-sessions-changelog"], brokers=3)
    [difference] = [each for each in differences if each.topic.endswith("changelog")]
    assert (difference.topic, difference.alter) == (
        "t.group-sessions-changelog",
        ("min.insync.replicas", "2"),
    )
