"""What `doctor` asks the broker: whether it answers, its topics, who reads, dead letters, erasures."""

import time
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.deadletters import LetterId, marked
from schemas.topics import EVENTS_DLQ, PRODUCTS_DLQ, TOPICS
from services.history import erased
from services.history.partitions import reading
from services.history.past import headers_of
from services.history.timerange import TimeRange, shown
from services.kafka import client_config, now_ms
from services.ops import topics
from services.ops.doctor.findings import Finding, State
from services.ops.lag import LagReader, watched
from services.ops.settings import OpsSettings

ASK_S: Final = 3.0
SLOW_MS: Final = 500.0
DAY_MS: Final = 24 * 60 * 60 * 1000
NAMED: Final = 3


def broker(settings: OpsSettings) -> Finding:
    """Whether one answers, and how soon. Takes up to 3 s."""
    admin = AdminClient(client_config(settings), logger=topics.LIBRDKAFKA)
    began = time.monotonic()
    try:
        found = admin.list_topics(timeout=ASK_S)
        cluster = admin.describe_cluster(request_timeout=ASK_S).result()
    except KafkaException as error:
        return Finding(
            "broker",
            "bad",
            f"no Kafka broker answers at {settings.kafka_bootstrap} ({error.args[0].str()})",
            "start it (make up, or see its own log), or set EDDY_KAFKA_BOOTSTRAP",
        )
    ms = (time.monotonic() - began) * 1000
    told = (
        f"brokers: {len(found.brokers)}, at {settings.kafka_bootstrap}, cluster {cluster.cluster_id}, "
        f"answers in {ms:.0f} ms"
    )
    if ms > SLOW_MS:
        return Finding("broker", "warn", told, "look at its load, its disk and the network between")
    return Finding("broker", "ok", told)


def topic_list(settings: OpsSettings) -> list[Finding]:
    """The topics against schemas/topics.py."""
    found = topics.differences(settings, ASK_S)
    drifts = [each for each in found if each.is_drift]
    if drifts:
        more = f" and {len(drifts) - NAMED} more" if len(drifts) > NAMED else ""
        told = "; ".join(map(str, drifts[:NAMED])) + more
        return [Finding("topics", "bad", told, "python -m services.ops topics check")]
    notes = f"; {len(found)} notes (topics check)" if found else ""
    return [Finding("topics", "ok", f"{len(TOPICS)} as schemas/topics.py lists them{notes}")]


def groups(settings: OpsSettings) -> list[Finding]:
    """Each consumer group: whether somebody reads and keeps up."""
    reader, found = LagReader(settings, ASK_S), []
    for each in watched(settings):
        group = reader.look(each, now_ms())
        told = f"{group.group}: members {len(group.members)}, lag {group.lag:,}; {group.meaning}"
        state: State = "ok" if group.is_healthy else "warn" if group.members and not group.lost else "bad"
        found.append(Finding(f"group {each.service}", state, told, group.what_to_do))
    return found


def dead_letters(settings: OpsSettings) -> list[Finding]:
    """Those of the last day that nobody has handled."""
    since = TimeRange(int(now_ms()) - DAY_MS)
    found = []
    with reading(settings) as reader:
        for topic in (EVENTS_DLQ, PRODUCTS_DLQ):
            open_: set[LetterId] = set()
            for messages in reader.read(reader.spans(topic, since)):
                for message in messages:
                    if (mark := marked(headers_of(message))) is not None:
                        open_.discard(mark[0])
                    else:
                        place = (int(message.partition() or 0), int(message.offset() or 0))
                        open_.add(LetterId(topic.name, *place))
            told = f"{len(open_):,} open of the last day on {settings.topic(topic)}"
            what_to_do = "python -m services.ops dlq list" if open_ else ""
            found.append(Finding("dead letters", "warn" if open_ else "ok", told, what_to_do))
    return found


def erasures(settings: OpsSettings) -> list[Finding]:
    """Who is to be forgotten, and whether every reader of history can read so."""
    with reading(settings) as reader:
        found = erased.read(reader)
    newest = f", the newest of {shown(max(found.until.values()))}" if found.until else ""
    told = f"{len(found.until):,} visitors are to be forgotten{newest}"
    if found.unreadable:
        return [
            Finding(
                "erasures",
                "bad",
                f"{told}; {found.unreadable} messages cannot be read, and count up to when they were sent",
                "erase those visitors again: python -m services.ops erase VISITOR",
            )
        ]
    return [Finding("erasures", "ok", told)]
