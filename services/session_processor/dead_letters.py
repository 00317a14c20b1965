"""Messages of `events` that are no events: why, and the dead letter that each becomes."""

import msgspec
import structlog
from faust.types import Message

from schemas import deadletters
from schemas.events import Event, decode
from services.kafka.clients import OutgoingMessage

log = structlog.get_logger()


class BadEvent(Exception):
    """A message that is no event; the text is the reason written to events.dlq."""


class TooManyBadEvents(Exception):
    """So many bad messages in a row that the fault is likely not theirs."""


def decode_event(key: bytes | None, value: bytes | None, sent_at: int) -> Event:
    """The event of a message that was sent at `sent_at` (Unix ms).

    Raises BadEvent for what is none, or lies under another visitor's key.
    """
    if value is None:
        raise BadEvent("a tombstone is no event")
    try:
        event = decode(value, sent_at)
    except msgspec.MsgspecError as error:
        raise BadEvent(str(error)) from None
    if key != event.visitor_id.encode():
        raise BadEvent(f"the message's key is not the event's visitor_id {event.visitor_id!r}")
    return event


class DeadLetters:
    """Makes letters of bad messages; so many in a row that the fault is likely not theirs are too many."""

    def __init__(self, in_a_row_max: int) -> None:
        self._in_a_row_max = in_a_row_max
        self._in_a_row = 0

    def reset(self) -> None:
        """A message was an event."""
        self._in_a_row = 0

    def of(self, message: Message, reason: str, *, at: int) -> OutgoingMessage:
        """The letter of a message; `at` is Unix ms. Raises TooManyBadEvents."""
        self._in_a_row += 1
        if self._in_a_row > self._in_a_row_max:
            raise TooManyBadEvents(
                f"{self._in_a_row_max} bad messages in a row on `events`, the last because {reason}. "
                "Look at events.dlq, mend the producer, and start the worker again."
            )
        source = f"{message.topic}/{message.partition}/{message.offset}"
        log.warning("dead letter", reason=reason, source=source)
        headers = deadletters.headers(
            reason=reason,
            service="session_processor",
            stage="decode",
            source=source,
            failed_at=at,
            attempts=deadletters.attempts_of(message.headers),
        )
        return message.key, message.value, [*headers]
