"""Puts messages on Kafka and tells, message by message, when the broker has them."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import deadletters
from schemas.products import MAX_PRODUCT_BYTES, Product
from schemas.unreadable import Unreadable
from services.embedder.errors import BadProduct
from services.kafka.clients import FOR_GOOD, LIBRDKAFKA, ClientConfig, NotDelivered, OutgoingMessage
from services.kafka.messages import PRODUCT

ALONE_S: Final = 10.0  # for one message and what was before it; a broker that is away is waited for anyway
FULL_WAIT_S: Final = 0.1  # how long to wait, each time, for room in the local buffer


_Report = Callable[[KafkaError | None, Message | None], None]


class _Refused(NamedTuple):
    retry: Callable[[], None] | None  # None: it was alone already
    tell: Callable[[], None]


class Publisher:
    """For one thread: `serve` calls back what was acknowledged since, and raises when something was not.

    A broker that is away is waited for. Raises KafkaException when the producer can send nothing ever again:
    an idempotent producer whose sequence the broker has lost. The process is to be started anew then.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._failure: KafkaError | None = None
        self._refused: deque[_Refused] = deque()
        callbacks = {"error_cb": self._note_fatal, "logger": LIBRDKAFKA}
        self._producer = Producer(config | callbacks)

    def send(
        self,
        topic: str,
        message: OutgoingMessage,
        then: Callable[[], None],
        *,
        refused: Callable[[str], None] | None = None,
        is_newest: Callable[[], bool] = lambda: True,
    ) -> None:
        """Hands a message over; `then` is called from `serve` when the broker has it.

        `refused` is called instead, with the reason, when the broker will never take it. One that is no
        longer `is_newest` by then counts as sent: what came after it was.
        """

        def again() -> None:
            if is_newest():
                self._produce(topic, message, partial(report, None))
            else:
                then()

        def report(
            retry: Callable[[], None] | None, error: KafkaError | None, _message: Message | None
        ) -> None:
            if error is None:
                then()
            elif refused is not None and error.code() in FOR_GOOD:
                self._refused.append(_Refused(retry, partial(refused, error.str())))
            else:
                self._failure = self._failure or error

        self._produce(topic, message, partial(report, again))

    def _produce(
        self,
        topic: str,
        message: OutgoingMessage,
        report: Callable[[KafkaError | None, Message | None], None],
    ) -> None:
        key, value, headers = message
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=report, headers=headers)
            except BufferError:
                self.serve(FULL_WAIT_S)
            except KafkaException as error:  # larger than librdkafka itself takes
                report(error.args[0], None)
                return
            else:
                return

    def _look_at_refused(self) -> None:
        """A broker refuses a whole batch for its size: each of its messages is tried once more, alone."""
        while self._refused:
            retry, tell = self._refused.popleft()
            if retry is None:
                tell()
                continue
            self._producer.flush(ALONE_S)
            retry()
            self._producer.flush(ALONE_S)

    def serve(self, timeout_s: float = 0.0) -> None:
        """Calls back. Raises NotDelivered for a refused message, KafkaException for a dead producer."""
        self._producer.poll(timeout_s)
        self._look_at_refused()
        if self._failure is not None:
            if self._failure.fatal():
                raise KafkaException(self._failure)
            raise NotDelivered(self._failure.str())

    def flush(self, timeout_s: float) -> bool:
        """Waits for what is under way; whether all of it was acknowledged in time."""
        left = self._producer.flush(timeout_s)
        self.serve()
        return left == 0

    def _note_fatal(self, error: KafkaError) -> None:
        if error.fatal():  # of all else librdkafka takes care, and logs it
            self._failure = error


def decode_product(key: bytes | None, value: bytes, sent_at: int = 0) -> Product:
    """The product of a message, sent at `sent_at` (Unix ms).

    Raises BadProduct for what is none, or lies under another product's key.
    """
    if len(value) > MAX_PRODUCT_BYTES:
        raise BadProduct(f"a product has at most {MAX_PRODUCT_BYTES} bytes, this one {len(value)}")
    try:
        return PRODUCT.read(key, value, sent_at)
    except Unreadable as error:
        raise BadProduct(str(error)) from None


def dead_letter(
    key: bytes | None,
    raw: bytes | None,
    *,
    reason: str,
    stage: str,
    source: str,
    failed_at: int,
    attempts: int = 1,
    count: int = 1,
) -> OutgoingMessage:
    """A message as it came, with why it, or a part of it, was not taken; `failed_at` is Unix ms."""
    key, raw, headers = deadletters.letter(
        key,
        raw,
        reason=reason,
        service="embedder",
        stage=stage,
        source=source,
        failed_at=failed_at,
        attempts=attempts,
        count=count,
    )
    return key, raw, [*headers]
