"""Messages of `events` that are no events: why, and the dead letter that each becomes."""

from functools import lru_cache

import msgspec
import structlog
from faust.types import Message

from schemas import deadletters
from schemas.events import Event, is_event_id
from schemas.topics import EVENTS
from schemas.unreadable import Unreadable
from services.kafka.clients import OutgoingMessage
from services.kafka.messages import EVENT
from services.kafka.ranges import partition_of
from services.logging import hash_visitor
from services.refusals import RefusalSampler

log = structlog.get_logger()


class BadEvent(Exception):
    """A message that is no event; the text is the reason on events.dlq, `for_log` what is logged of it."""

    def __init__(self, reason: str, for_log: str | None = None) -> None:
        super().__init__(reason)
        self.for_log = reason if for_log is None else for_log


class TooManyBadEvents(Exception):
    """So many bad messages in a row that the fault is likely not theirs."""


def decode_event(key: bytes | None, value: bytes | None, sent_at: int) -> Event:
    """The event of a message that was sent at `sent_at` (Unix ms).

    Raises BadEvent for what is none, or lies under another visitor's key.
    """
    if value is None:
        raise BadEvent("a tombstone is no event")
    try:
        return EVENT.read(key, value, sent_at)
    except Unreadable as error:
        raise BadEvent(str(error), error.for_log) from None


# A hash takes 50 µs in Python, and visitors come again.
_partition_of = lru_cache(maxsize=65_536)(partition_of)


def check_place(key: bytes, partition: int, partitions: int) -> bool:
    """Whether an event lies where its key belongs, among the partitions that the topic has now.

    False for one of before the topic was given more partitions than it is created with: it lies where its key
    belonged then, and is to be moved. Raises BadEvent for one that lies anywhere else: two workers would
    overwrite each other's session of the visitor.
    """
    belongs = _partition_of(key, partitions)
    if partition == belongs:
        return True
    if partitions > EVENTS.partitions and partition == _partition_of(key, EVENTS.partitions):
        return False
    raise BadEvent(
        f"it lies on partition {partition} of {partitions}, and its key belongs on {belongs}: "
        f"{deadletters.MISPLACED} in its producer (the default of librdkafka's clients puts keys elsewhere "
        "than Java's and Eddy's), then requeue this letter"
    )


class _Named(msgspec.Struct):
    event_id: str = ""


def name_event(message: Message) -> dict[str, str]:
    """What a log line names of a message that is no event: the visitor of its key, and its event's id."""
    told = {"visitor": hash_visitor(message.key)} if message.key else {}
    try:
        event_id = msgspec.json.decode(message.value or b"", type=_Named).event_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return told
    return told | {"event_id": event_id} if is_event_id(event_id) else told


class DeadLetters:
    """Makes letters of bad messages; so many in a row that the fault is likely not theirs are too many."""

    def __init__(self, in_a_row_max: int) -> None:
        self._in_a_row_max = in_a_row_max
        self._in_a_row = 0
        self._refusals = RefusalSampler()

    def reset(self) -> None:
        """A message was an event."""
        self._in_a_row = 0

    def of(self, message: Message, bad: BadEvent, *, at: int) -> OutgoingMessage | None:
        """The letter of a message; None where an identical one has been written. `at` is Unix ms.

        Raises TooManyBadEvents.
        """
        reason = str(bad)
        self._in_a_row += 1
        if self._in_a_row > self._in_a_row_max:
            raise TooManyBadEvents(
                f"{self._in_a_row_max} bad messages in a row on `events`, the last because {bad.for_log}. "
                "Look at events.dlq, mend the producer, and start the worker again."
            )
        source = f"{message.topic}/{message.partition}/{message.offset}"
        log.warning("dead letter", reason=bad.for_log, source=source, **name_event(message))
        attempts = deadletters.attempts_of(message.headers)
        count = self._refusals.sample(message.key, message.value, reason) if attempts == 1 else 1
        if not count:
            return None
        key, value, headers = deadletters.letter(
            message.key,
            message.value,
            reason=reason,
            service="session_processor",
            stage="decode",
            source=source,
            failed_at=at,
            attempts=attempts,
            count=count,
        )
        return key, value, [*headers]
