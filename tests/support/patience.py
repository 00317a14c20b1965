"""One way to wait in tests, for what other processes, threads and pages are about to do."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Final, NoReturn, TypeVar, cast

import pytest
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

WITHIN_S: Final = 60.0  # a busy machine needs it to start a service, no test waits as long for a yes
EVERY_S: Final = 0.1
# pytest.fail raises what is no Exception, and in a condition means "not yet" like any other failure.
NOT_YET: Final[tuple[type[BaseException], ...]] = (Exception, pytest.fail.Exception)

Check = TypeVar("Check", bound=Callable[..., Any])


def patiently(
    within_s: float = WITHIN_S,
    every_s: float = EVERY_S,
    *,
    despite: type[BaseException] | tuple[type[BaseException], ...] = NOT_YET,
) -> Callable[[Check], Check]:
    """Has a check, async or not, called again until it raises nothing and answers anything but False.

    Then it gives what the check gives; after so many seconds it raises the check's last error. Other errors
    than those of `despite` are final.
    """

    def give_up(state: RetryCallState) -> NoReturn:
        assert state.outcome is not None
        state.outcome.result()  # raises the last error where there was one
        name = getattr(state.fn, "__name__", state.fn)
        raise AssertionError(f"{name} still answers False after {within_s:g} s")

    retrying = retry(
        retry=retry_if_exception_type(despite) | retry_if_result(lambda answer: answer is False),
        stop=stop_after_delay(within_s),
        wait=wait_fixed(every_s),
        retry_error_callback=give_up,
    )
    return cast("Callable[[Check], Check]", retrying)


def wait_until(condition: Callable[[], object], within_s: float = WITHIN_S, every_s: float = EVERY_S) -> None:
    """Returns once the condition raises nothing and is not False; in the end raises its last error."""
    patiently(within_s, every_s)(condition)()


async def eventually(
    condition: Callable[[], object], within_s: float = WITHIN_S, every_s: float = 0.02
) -> None:
    """The same while an event loop goes on; a condition may be async."""

    @patiently(within_s, every_s)
    async def hold() -> object:
        answer = condition()
        return await answer if isawaitable(answer) else answer

    await hold()
