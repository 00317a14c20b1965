"""When a fact became true, in Unix ms: what can be a time at all, and whose clock is believed how far."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

DAY_MS: Final = 24 * 60 * 60 * 1000
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01: a time now in seconds, taken for ms, lies in January 1970
MAX_CLOCK_AHEAD_MS: Final = 5 * 60 * 1000  # a sender's clock further ahead is set back to the receiver's

# Header of a tombstone on a compacted topic: Unix ms, as of when its key is gone. Without it, the key is gone
# as of when the message was sent, whatever lay there before.
DELETED_AT: Final = "deleted_at"


def check(field: str, at: int) -> str | None:
    """Why this can be no moment in a shop, as a sentence for its sender, or None."""
    if at >= EARLIEST_MS:
        return None
    read = datetime.fromtimestamp(at / 1000, UTC) if at >= 0 else None
    day = f"would be {read:%Y-%m-%d}" if read else "lies before 1970"
    return f"{field}: {at} looks like seconds and {day}: expected Unix time in ms, 2000-01-01 or later"


def clamp(at: int, known_at: int) -> int:
    """A sender's time, set back to `known_at`, the receiver's, where it is over 5 minutes ahead of it.

    A `known_at` of before 2000 is none: a message that carries no time, or of a clock that was never set.
    """
    return known_at if EARLIEST_MS <= known_at < at - MAX_CLOCK_AHEAD_MS else at


def deletion(headers: Iterable[tuple[str, bytes | str | None]], sent_at: int) -> int | None:
    """As of when a tombstone, sent at `sent_at` (Unix ms), deletes its key; None where it does not say."""
    told = dict(headers).get(DELETED_AT)
    try:
        return None if told is None else clamp(int(told), sent_at)
    except ValueError:
        return None
