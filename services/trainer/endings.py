"""How the trainer's commands end: which of their failures a person can mend, and which are the gate's no."""

from collections.abc import Iterator
from contextlib import contextmanager

from services import endings
from services.history.archive_manifest import ArchiveRefused
from services.history.partitions import BrokerAway
from services.history.timerange import BadTime
from services.kafka import TopicMissing
from services.model.artifact import ArtifactRefused
from services.model.releases import ReleaseRefused
from services.model.store import StoreFailed
from services.trainer.releases import GateIsAgainst
from services.trainer.session_files import UnreadableFile
from services.trainer.topic_history import NothingToRead

MENDABLE = (
    ArchiveRefused, ArtifactRefused, BadTime, BrokerAway, NothingToRead, ReleaseRefused, StoreFailed,
    TopicMissing, UnreadableFile,
)  # fmt: skip


@contextmanager
def ending_clearly() -> Iterator[None]:
    """For a command's block: the gate's no is status 1, what a person can mend 2."""
    with endings.ending_clearly(
        MENDABLE, no=(GateIsAgainst,), not_delivered="nothing has changed, or look again"
    ):
        yield
