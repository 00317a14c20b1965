"""Headers that go with the raw bytes of a dead letter: the reason, where and when."""

from typing import Final

REASON: Final = "reason"  # a sentence a person can act on
SERVICE: Final = "service"  # which service refused the message
STAGE: Final = "stage"  # decode, validate, picture, …
SOURCE: Final = "source"  # topic/partition/offset, or the HTTP path it came by
FAILED_AT: Final = "failed_at"  # Unix ms

Headers = list[tuple[str, bytes]]


def headers(*, reason: str, service: str, stage: str, source: str, failed_at: int) -> Headers:
    """The headers of one dead letter, in a fixed order."""
    return [
        (REASON, reason.encode()),
        (SERVICE, service.encode()),
        (STAGE, stage.encode()),
        (SOURCE, source.encode()),
        (FAILED_AT, str(failed_at).encode()),
    ]
