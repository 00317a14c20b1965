"""A folder over a store and a broker that do what a test says."""

import asyncio
from collections.abc import Sequence
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from schemas import erasures, events
from schemas.erasures import Erasure
from schemas.events import Event, EventType
from services.kafka.clients import AcknowledgedProducer, OutgoingMessage
from services.kafka.ranges import MessageHeaders
from services.session_processor.metrics import Metrics
from services.session_processor.processor import SessionProcessor
from services.session_processor.table import SessionTable
from services.tracing.port import NULL_TRACER, Tracer
from tests.support.sessions import LAYOUT, TUNING, VECTORS, event

BEGIN = 1_700_000_000_000
Sent = tuple[str, bytes | None, bytes | None]  # topic, key, value


class Data(dict[bytes, bytes]):
    """A table's store, as Faust's memory store looks from outside."""

    def __init__(self) -> None:
        self._key_partition: dict[bytes, int] = {}


class Broker:
    """Takes what is sent; acknowledges when the test says so."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.headers: list[dict[str, str | bytes | None]] = []  # of each that was sent
        self._waiting: list[asyncio.Future[None]] = []

    def begin(self, messages: Sequence[tuple[str, OutgoingMessage]]) -> asyncio.Future[None]:
        self.sent += [(topic, key, value) for topic, (key, value, _) in messages]
        self.headers += [dict(headers) for _, (_, _, headers) in messages]
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]

    async def acknowledge(self) -> None:
        """Answers everything, also what is sent because of the answers."""
        while self._waiting:
            self._waiting.pop(0).set_result(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    @property
    def waiting(self) -> int:
        """How many sends are not answered."""
        return len(self._waiting)

    def to(self, topic: str, key: bytes) -> list[bytes | None]:
        return [value for to, of, value in self.sent if to == topic and of == key]


class Worker:
    """One life of a worker: a folder over a store that outlives it."""

    def __init__(
        self,
        data: Data,
        broker: Broker,
        *,
        recovered: bool = True,
        bytes_max: float = inf,
        tracer: Tracer = NULL_TRACER,
    ) -> None:
        self.data, self.broker = data, broker
        self.metrics = Metrics()
        self.acknowledged = 0
        self._offset = 0
        name = SimpleNamespace(get_topic_name=lambda: "changelog")
        self.folder = SessionProcessor(
            table=SessionTable(cast(Any, SimpleNamespace(data=data, changelog_topic=name))),
            producer=cast(AcknowledgedProducer, broker),
            published="sessions",
            dead_letters="events.dlq",
            vectors=VECTORS,
            layout=LAYOUT,
            tuning=TUNING,
            bad_in_a_row_max=3,
            metrics=self.metrics,
            crash=lambda error: pytest.fail(str(error)),
            table_bytes_max=bytes_max,
            tracer=tracer,
        )
        self.folder.set_partitions(1)
        if recovered:
            self.folder.recover({})

    def take(
        self,
        visitor: str,
        number: int,
        at: int,
        *,
        received: int | None = None,
        sent_at: int | None = None,
        product_id: str = "p1",
        type_: EventType = "view_item",
    ) -> Event:
        """Gives it an event of a visitor; all live in partition 0. `sent_at`: Unix ms of the message.

        A search is for the product's id, and lists are rows of ours.
        """
        stamp = None if received is None else BEGIN + received
        happened = event(number, BEGIN + at, product_id, type_)
        sent = msgspec.structs.replace(happened, visitor_id=visitor, received_at=stamp)
        if type_ == "search":
            sent = msgspec.structs.replace(sent, query=product_id, product_id=None)
        elif type_ == "view_item_list":
            sent = msgspec.structs.replace(sent, recommendation_id="row")
        self.take_raw(visitor.encode(), events.encode(sent), sent_at=sent_at)
        return sent

    def take_raw(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: MessageHeaders | None = None,
        *,
        sent_at: int | None = None,
    ) -> None:
        """Gives it any message of `events`, sent at `sent_at` (Unix ms)."""
        message = SimpleNamespace(
            partition=0,
            offset=self._offset,
            key=key,
            value=value,
            headers=headers,
            topic="events",
            timestamp=None if sent_at is None else sent_at / 1000,
        )
        self._offset += 1
        self.folder.take(cast(Any, SimpleNamespace(message=message, ack=self._ack)))

    def erase(self, visitor: str, at: int, *, sent: int | None = None, running: bool = True) -> None:
        """Gives it an erasure of what came up to `at`; `running`: its sessions are recovered."""
        erasure = erasures.encode(Erasure(visitor_id=visitor, erased_at=BEGIN + at))
        sent_at = BEGIN + (at if sent is None else sent)
        message = SimpleNamespace(key=visitor.encode, value=lambda: erasure, timestamp=lambda: (1, sent_at))
        self.folder.erase(cast(Any, message), (lambda _partition: True) if running else None)

    def _ack(self) -> None:
        self.acknowledged += 1

    def count_evicted(self, rank: str) -> float:
        found = self.metrics.registry.get_sample_value("eddy_session_processor_evicted_total", {"rank": rank})
        return found or 0.0

    @property
    def waiting(self) -> float:
        name = "eddy_session_processor_waiting_products"
        return self.metrics.registry.get_sample_value(name) or 0.0

    @property
    def expired(self) -> float:
        return self.metrics.registry.get_sample_value("eddy_session_processor_expired_total") or 0.0
