"""Whether the clocks agree: this machine's, the services' by Date headers, and Kafka's newest messages."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import EVENTS, PRODUCT_VECTORS, RECOMMENDATIONS, SESSIONS
from services.kafka import client_config, now_ms
from services.ops.doctor import health
from services.ops.doctor.findings import Finding
from services.ops.settings import OpsSettings
from services.ops.topics import LIBRDKAFKA

ASK_S: Final = 3.0
NEWEST: Final[OffsetSpec] = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
WARN_S: Final = 2.0
BAD_S: Final = 60.0


def clocks(settings: OpsSettings, broker_answers: bool) -> list[Finding]:
    """One line: the greatest difference counts."""
    apart = {
        name: found.ahead_s
        for name in health.SERVICES
        if (found := health.asked(settings, name)).ahead_s is not None
    }
    if broker_answers:
        apart["Kafka's newest message"] = max(0.0, (_newest(settings) - now_ms()) / 1000)
    return [verdict(apart.items())]


def verdict(apart: Iterable[tuple[str, float | None]]) -> Finding:
    """From how far each is ahead of this machine, in seconds; None is not known."""
    known = [(name, seconds) for name, seconds in apart if seconds is not None]
    if not known:
        return Finding("clock", "warn", "nothing answers whose clock could be compared", "start the services")
    name, seconds = max(known, key=lambda each: abs(each[1]))
    if abs(seconds) < WARN_S:
        return Finding("clock", "ok", f"{len(known)} clocks agree with this machine's within {WARN_S:.0f} s")
    told = f"{name} is {abs(seconds):,.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine"
    what = "set both by NTP (chronyc tracking): sessions, decay and erasures go by the services' clocks"
    return Finding("clock", "bad" if abs(seconds) > BAD_S else "warn", told, what)


def _newest(settings: OpsSettings) -> int:
    """When the newest message was written, Unix ms, by the clock of who wrote it; 0 where there is none."""
    admin = AdminClient(client_config(settings), logger=LIBRDKAFKA)
    parts = {
        TopicPartition(settings.topic(topic), number): NEWEST
        for topic in (EVENTS, SESSIONS, PRODUCT_VECTORS, RECOMMENDATIONS)
        for number in range(topic.partitions)
    }
    asked = admin.list_offsets(parts, request_timeout=ASK_S)
    return max(int(future.result().timestamp) for future in asked.values())
