"""Writes many messages as they were: key, value, headers and time; counts what the broker acknowledged."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from services.kafka.clients import FOR_GOOD, LIBRDKAFKA, NotDelivered, producer_config
from services.kafka.ranges import MessageHeaders
from services.settings import ServiceSettings

LINGER_MS: Final = 20
PATIENCE_MS: Final = 120_000  # a broker may be restarted meanwhile
POLL_EVERY: Final = 500  # messages between two looks at what was acknowledged
WAIT_S: Final = 0.1

OnAcknowledged = Callable[[int], object]


class BulkWriter:
    """Sends without waiting for each message; `finish` waits for all. Raises NotDelivered.

    `on_acknowledged` is told, in the caller's thread, how many more messages the broker has. What is sent
    with a timestamp (Unix ms) keeps it. A full buffer is waited for. `at_once`: for a few messages that may
    come twice or in any order; an idempotent producer takes up to half a second to get its number.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        on_acknowledged: OnAcknowledged = lambda _count: None,
        *,
        at_once: bool = False,
    ) -> None:
        config = producer_config(settings, linger_ms=0 if at_once else LINGER_MS, timeout_ms=PATIENCE_MS)
        if at_once:
            config["enable.idempotence"] = False
        self._producer = Producer(config | {"compression.type": "lz4", "logger": LIBRDKAFKA})
        self._on_acknowledged = on_acknowledged
        self._sent = 0
        self._fresh = 0
        self._error: KafkaError | None = None
        self.acknowledged = 0

    def write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: MessageHeaders | None = None,
        timestamp: int = 0,
        partition: int = -1,
    ) -> None:
        """Hands one message over; a timestamp of 0 is now, a partition of -1 the key's own."""
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    on_delivery=self._report,
                    timestamp=timestamp,
                    headers=[*(headers or [])],
                )
                break
            except BufferError:
                self._poll(WAIT_S)
            except KafkaException as error:
                self._error = error.args[0]
                self._raise_failure()
        self._sent += 1
        if self._sent % POLL_EVERY == 0:
            self._poll(0)

    def finish(self) -> None:
        """Returns once the broker has every message."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while self.acknowledged < self._sent:
            before = self.acknowledged
            self._poll(WAIT_S)
            if self.acknowledged > before:
                deadline = time.monotonic() + PATIENCE_MS / 1000
            elif time.monotonic() > deadline:
                raise NotDelivered(
                    "the broker does not answer", delivered=self.acknowledged, total=self._sent
                )

    def drop(self) -> None:
        """Forgets what is still on its way."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        self._raise_failure()
        if self._fresh:
            fresh, self._fresh = self._fresh, 0
            self._on_acknowledged(fresh)

    def _raise_failure(self) -> None:
        if self._error is not None:
            reason = self._error.str()
            refused = {0: reason} if self._error.code() in FOR_GOOD else None
            raise NotDelivered(
                reason, refused=refused, delivered=self.acknowledged, total=self._sent
            ) from None

    def _report(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._error = self._error or error
        else:
            self.acknowledged += 1
            self._fresh += 1


@contextmanager
def open_writer(
    settings: ServiceSettings,
    on_acknowledged: OnAcknowledged = lambda _count: None,
    *,
    at_once: bool = False,
) -> Iterator[BulkWriter]:
    """A writer for the block: at its end the broker has everything, unless the block raises."""
    writer = BulkWriter(settings, on_acknowledged, at_once=at_once)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.drop()
        raise
