"""What every command stands on: its settings, where it writes, and how it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from services import cli
from services.kafka.clients import TopicMissing
from services.kafka.ranges import BrokerAway
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed
from services.ops.settings import OpsSettings
from services.settings import load
from services.time_range import BadTime


def settings() -> OpsSettings:
    """The command's settings; librdkafka is quiet, since what goes wrong is told in a sentence."""
    found = load(OpsSettings)
    if found.log_level != "DEBUG":
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    return found


@contextmanager
def ending_clearly(*mendable: type[Exception], stopped: str = "nothing is left half-made") -> Iterator[None]:
    """For a command's block; `mendable` are its own failures beside those that all commands share."""
    shared = (ArtifactRefused, BadTime, BrokerAway, StoreFailed, TopicMissing)
    with cli.ending_clearly((*shared, *mendable), stopped=stopped):
        yield
