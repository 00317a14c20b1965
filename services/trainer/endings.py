"""How a command ends: what a person can mend is one sentence and a status; signals end it cleanly.

Status 0: done. 1: the gate is against it. 2: it cannot be done. 130 and 143: Ctrl-C and SIGTERM.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import typer

from services.history.partitions import BrokerAway
from services.history.timerange import BadTime
from services.kafka import NotDelivered, TopicMissing
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed
from services.trainer.releases import GateIsAgainst, ReleaseRefused
from services.trainer.session_files import UnreadableFile
from services.trainer.topic_history import NothingToRead

AGAINST: Final = 1
CANNOT: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM

MENDABLE: Final = (
    ArtifactRefused, BadTime, BrokerAway, NothingToRead, ReleaseRefused, StoreFailed, TopicMissing,
    UnreadableFile,
)  # fmt: skip


class _Terminated(BaseException):
    """SIGTERM came. No Exception, so that nothing on the way takes it for a failure of its own."""


@contextmanager
def ending_clearly() -> Iterator[None]:
    """For a command's block, in the main thread: what was begun is cleared away before the process ends."""
    former = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except GateIsAgainst as error:
        _end(str(error), AGAINST)
    except MENDABLE as error:
        _end(str(error), CANNOT)
    except NotDelivered as error:
        _end(f"the broker did not take the release ({error}): nothing has changed, or look again", CANNOT)
    except OSError as error:  # a full disk, a folder that may not be written
        _end(f"{error.filename or 'a file'}: {error.strerror or error}", CANNOT)
    except KeyboardInterrupt:
        _end("stopped; nothing is left half-made", INTERRUPTED)
    except _Terminated:
        _end("stopped by SIGTERM; nothing is left half-made", TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, former)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _end(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(status) from None
