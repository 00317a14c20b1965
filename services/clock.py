"""The one wall clock: Unix milliseconds."""

import time


def now_ms() -> float:
    """The wall clock as Unix time in ms, for shells only; pure code takes time as an argument."""
    return time.time() * 1000
