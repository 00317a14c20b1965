"""What an archive reads in a message beside its bytes: whose it is, and the fields that analysts ask for."""

from typing import Final

import msgspec

from schemas.events import Millis
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS, Topic
from services.history import past_events
from services.history.erased import Erasures
from services.history.past import PastMessage
from services.history.past_events import PastEvent

OF_VISITORS: Final = frozenset({EVENTS.name, EVENTS_DLQ.name, RECOMMENDATIONS.name})


class _Stamps(msgspec.Struct, frozen=True, gc=False):
    """Of anything that a visitor did or was shown; a dead letter may have no more than a name."""

    visitor_id: str
    occurred_at: Millis | None = None
    received_at: Millis | None = None
    shown_at: Millis | None = None


class _Named(msgspec.Struct, frozen=True, gc=False):
    visitor_id: str


_decode_stamps = msgspec.json.Decoder(_Stamps).decode
_decode_named = msgspec.json.Decoder(_Named).decode


def event_fields(value: bytes | None) -> PastEvent | None:
    """The fields of a message on `events`; None for what is no event."""
    try:
        return past_events.decode(value or b"")
    except msgspec.MsgspecError:
        return None


def leaves_out(
    erasures: Erasures, topic: Topic, message: PastMessage, event: PastEvent | None = None
) -> bool:
    """Whether a message is of a visitor who is to be forgotten: by its key, or by what it says."""
    if not erasures.until or topic.name not in OF_VISITORS:
        return False
    names, stamps = _said(message.value(), event)
    names.add((message.key() or b"").decode("utf-8", "replace"))
    stamps.append(max(0, message.timestamp()[1]))
    return any(erasures.leave_out(name, *stamps) for name in names)


def _said(value: bytes | None, event: PastEvent | None) -> tuple[set[str], list[int | None]]:
    if event is not None:
        return {event.visitor_id}, [event.occurred_at, event.received_at]
    try:
        found = _decode_stamps(value or b"")
    except msgspec.MsgspecError:
        try:
            return {_decode_named(value or b"").visitor_id}, []
        except msgspec.MsgspecError:
            return set(), []
    return {found.visitor_id}, [found.occurred_at, found.received_at, found.shown_at]
