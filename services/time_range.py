"""From when to when, and how long: options such as `--since` and `--until` as people write them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.errors import OperationFailed

MINUTE_MS: Final = 60_000
UNITS_MS: Final = {
    "m": MINUTE_MS,
    "h": 60 * MINUTE_MS,
    "d": 24 * 60 * MINUTE_MS,
    "w": 7 * 24 * 60 * MINUTE_MS,
}
EARLIEST_MS: Final = -62_135_596_800_000  # the years that a datetime has: 1 …
END_MS: Final = 253_402_300_800_000  # … to 9999
AGO: Final = re.compile(r"([0-9]{1,9})([mhdw])")


class BadTime(OperationFailed):
    """A text that is no time, or two times that make no range; a sentence for who wrote it."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """`since` ≤ t < `until`, Unix ms; None is open. Times are those at which the broker took the events."""

    since: int | None = None
    until: int | None = None

    def __str__(self) -> str:
        since = "the beginning" if self.since is None else format_time(self.since)
        return f"{since} to {'now' if self.until is None else format_time(self.until)}"


def parse_range(
    since: str | None, until: str | None, now_ms: int, options: tuple[str, str] = ("--since", "--until")
) -> TimeRange:
    """The range that two options name. Raises BadTime, also where nothing can lie in it."""
    first, last = options
    begin = None if since is None else _time(first, since, now_ms)
    end = None if until is None else _time(last, until, now_ms)
    if begin is not None and begin > now_ms:
        raise BadTime(f"{first} {since} lies in the future: it is {format_time(now_ms)}")
    if begin is not None and end is not None and begin >= end:
        raise BadTime(
            f"{first} {since} ({format_time(begin)}) is not before {last} {until} ({format_time(end)})"
        )
    return TimeRange(begin, end)


def duration(option: str, text: str) -> int:
    """How long an option says, such as 90m, 12h, 7d, 2w, in ms; more than nothing. Raises BadTime."""
    found = AGO.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise BadTime(f"{option} takes a length of time (90m, 12h, 7d, 2w): {text!r}")
    return int(found[1]) * UNITS_MS[found[2]]


def format_time(time_ms: int) -> str:
    """A time as people read it, in UTC; a number that is none, such as a message may name, as it is."""
    if not EARLIEST_MS <= time_ms < END_MS:
        return f"{time_ms} ms"
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")


def _time(option: str, text: str, now_ms: int) -> int:
    """ISO date or time (UTC where no zone is named), or 90m, 12h, 7d, 2w before now."""
    ago = AGO.fullmatch(text.strip())
    if ago:
        time_ms = now_ms - int(ago[1]) * UNITS_MS[ago[2]]
    else:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise BadTime(
                f"{option} takes a date (2024-11-24), a time (2024-11-24T12:00) or an age (7d, 12h): {text!r}"
            ) from None
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        time_ms = round(zoned.timestamp() * 1000)
    if time_ms < 0:
        raise BadTime(f"{option} {text} lies before 1970")
    return time_ms
