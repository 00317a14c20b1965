"""Waits for the session processor's word on `sessions`: what was erased, and after how long."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, Message, TopicPartition

from schemas.sessions import ERASED_AT, EVENTS_REMOVED
from schemas.topics import SESSIONS
from services.history.partitions import BoundedReader
from services.history.past import headers_of
from services.kafka import client_config
from services.settings import ServiceSettings

POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How many events were removed from a visitor's session, and how many ms after the erasure."""

    events: int
    after_ms: float


class SessionsWatch:
    """Sees what is written to `sessions` from its making on. Raises BrokerAway, TopicMissing."""

    def __init__(self, settings: ServiceSettings, reader: BoundedReader) -> None:
        ends = reader.spans(SESSIONS)
        self._consumer = Consumer(
            client_config(settings)
            | {"group.id": "unused-by-a-watch", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
        )
        self._consumer.assign([TopicPartition(span.topic, span.partition, span.end) for span in ends])

    def wait(self, visitor_ids: Iterable[str], erased_at: int, within_s: float) -> dict[str, Confirmed]:
        """Those that are confirmed in time. `erased_at` is Unix ms, and the beginning of the waiting."""
        awaited, found = {each.encode(): each for each in visitor_ids}, dict[str, Confirmed]()
        deadline = time.monotonic() + within_s
        while len(found) < len(awaited) and time.monotonic() < deadline:
            for message in self._consumer.consume(100, POLL_S):
                visitor_id = awaited.get(message.key() or b"")
                if message.error() is None and visitor_id is not None:
                    found |= _confirmed(visitor_id, message, erased_at)
        return found

    def close(self) -> None:
        """Closes the connection."""
        self._consumer.close()


def _confirmed(visitor_id: str, message: Message, erased_at: int) -> dict[str, Confirmed]:
    headers = dict(headers_of(message))
    if int(headers.get(ERASED_AT) or -1) < erased_at:
        return {}
    events = int(headers.get(EVENTS_REMOVED) or 0)
    return {visitor_id: Confirmed(events, max(0.0, message.timestamp()[1] - erased_at))}
