"""How a command ends: what a person can mend is one sentence and a status; signals end it cleanly.

Status 0: done. 1: the answer is no (a gate is against it, something differs). 2: it cannot be done.
130 and 143: Ctrl-C and SIGTERM.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import typer

from services.kafka import NotDelivered

NO: Final = 1
CANNOT: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM


class AnswerIsNo(Exception):
    """The command has done its work, and what it found is not as it should be; the text says what."""


class CannotBeDone(Exception):
    """What was asked for cannot be done; the text says why, and what to do."""


class _Terminated(BaseException):
    """SIGTERM came. No Exception, so that nothing on the way takes it for a failure of its own."""


@contextmanager
def ending_clearly(
    mendable: tuple[type[Exception], ...] = (),
    *,
    no: tuple[type[Exception], ...] = (),
    stopped: str = "nothing is left half-made",
    not_delivered: str = "run it again",
) -> Iterator[None]:
    """For a command's block, in the main thread: what was begun is cleared away before the process ends.

    `mendable` end with 2, `no` with 1, each with its text; `stopped` follows the word of a signal.
    """
    former = signal.signal(signal.SIGTERM, _terminate)
    answers: tuple[type[Exception], ...] = (AnswerIsNo, *no)
    hindrances: tuple[type[Exception], ...] = (CannotBeDone, *mendable)
    try:
        yield
    except answers as error:
        _end(str(error), NO)
    except hindrances as error:
        _end(str(error), CANNOT)
    except NotDelivered as error:
        _end(f"the broker did not take all of it ({error}): {not_delivered}", CANNOT)
    except OSError as error:  # a full disk, a folder that may not be written
        _end(f"{error.filename or 'a file'}: {error.strerror or error}", CANNOT)
    except KeyboardInterrupt:
        _end(f"stopped; {stopped}", INTERRUPTED)
    except _Terminated:
        _end(f"stopped by SIGTERM; {stopped}", TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, former)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _end(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(status) from None
