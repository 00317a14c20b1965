"""How long one piece of work takes."""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


def time_call(work: Callable[[], T]) -> tuple[float, T]:
    """What it took, in seconds, and what came of it."""
    started = perf_counter()
    result = work()
    return perf_counter() - started, result
