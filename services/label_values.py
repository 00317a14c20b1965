"""Label values that are known beforehand: their series begin at 0, before anything is counted."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Histogram

# The limits that every service with an HTTP API holds: answered 429; then, before there is a request.
LIMITS: Final = (
    *("token", "events", "key", "address", "new_visitors"),
    *("header_bytes", "body_bytes", "slow_headers", "slow_body", "malformed", "connections"),
)
STATUSES: Final = ("500", "503")  # answers that alarms look at


def begin_at_zero(family: Counter | Histogram, values: Iterable[str]) -> None:
    """Makes a series of each value of the family's one label.

    Of a series that begins at 1 Prometheus cannot tell that it has grown: `increase` of it is 0, and an alarm
    on the first problem stays silent until the second.
    """
    for value in values:
        family.labels(value)
