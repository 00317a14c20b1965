"""What every command stands on: its settings, where it writes, and how it ends."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from services import cli
from services.kafka.clients import TopicMissing
from services.kafka.ranges import BrokerAway
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed
from services.ops import local_stack
from services.ops.settings import OpsSettings
from services.settings import load
from services.time_range import BadTime

is_local: Final = ContextVar("is_local", default=False)  # whether `--local` was said


def settings() -> OpsSettings:
    """The command's settings; a bad one ends the process, as does `--local` where no stack is.

    librdkafka is quiet, since what goes wrong is told in a sentence.
    """
    try:
        found = local_stack.settings(load(OpsSettings), wanted=is_local.get())
    except local_stack.NoLocalStack as error:
        print(error, file=sys.stderr)
        raise SystemExit(cli.CANNOT) from None
    if found.log_level != "DEBUG":
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    return found


@contextmanager
def ending_clearly(*mendable: type[Exception], stopped: str = "nothing is left half-made") -> Iterator[None]:
    """For a command's block; `mendable` are its own failures beside those that all commands share."""
    shared = (ArtifactRefused, BadTime, BrokerAway, StoreFailed, TopicMissing)
    with cli.ending_clearly((*shared, *mendable), stopped=stopped):
        yield
