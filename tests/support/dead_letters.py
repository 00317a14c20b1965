"""Dead letters of the tests."""

from schemas import deadletters
from schemas.deadletters import Headers
from schemas.topics import EVENTS_DLQ, Topic
from services.ops.dead_letters.letter import DeadLetter, letter_of
from tests.support.messages import StoredMessage

AT = 1_700_000_000_000


def headers(source: str = "events/3/17", **told: str) -> Headers:
    known = {"reason": "no event", "service": "session_processor", "stage": "decode"} | told
    return deadletters.headers(source=source, failed_at=AT, **known)  # type: ignore[arg-type]


def letter(
    raw: bytes | None,
    *,
    key: bytes | None = None,
    offset: int = 0,
    source: str = "events/3/17",
    topic: Topic = EVENTS_DLQ,
    more: Headers | None = None,
    **told: str,
) -> DeadLetter:
    return letter_of(
        StoredMessage(key, raw, [*headers(source, **told), *(more or [])], at=AT, offset=offset), topic
    )
