"""Dead letters of the tests."""

from dataclasses import dataclass

from schemas import deadletters
from schemas.deadletters import Headers
from schemas.topics import EVENTS_DLQ, Topic
from services.ops.dead_letters.letter import Letter, letter_of

AT = 1_700_000_000_000


@dataclass(frozen=True)
class Lying:
    """A message that lies on a topic."""

    key_: bytes | None
    value_: bytes | None
    headers_: Headers
    offset_: int = 0
    partition_: int = 0
    at: int = AT

    def topic(self) -> str | None:
        return None

    def partition(self) -> int | None:
        return self.partition_

    def offset(self) -> int | None:
        return self.offset_

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> object:
        return [*self.headers_]


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
) -> Letter:
    return letter_of(Lying(key, raw, headers(source, **told) + (more or []), offset), topic)
