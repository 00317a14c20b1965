"""Settings of the session processor."""

import socket
from pathlib import Path
from tempfile import gettempdir

from pydantic import Field

from schemas import tenants
from services.model.settings import SessionSettings
from services.settings import TopicSettings


class SessionProcessorSettings(SessionSettings, TopicSettings):
    """What one worker of the session processor needs to know."""

    session_processor_host: str = Field("127.0.0.1", description="address of the health endpoints")
    session_processor_port: int = Field(8003, ge=1, le=65535, description="port of the health endpoints")
    session_processor_group: str = Field("session-processor", description="consumer group, after the prefix")
    session_processor_instance: str = Field(
        "",
        description="this worker's name in its group, kept over restarts (default: host name and port)",
    )
    session_processor_datadir: str = Field(
        default_factory=lambda: f"{gettempdir()}/eddy-session-processor",
        description="folder that Faust keeps for itself, of a topic prefix in a folder of its own (default: "
        "in the folder of temporary files)",
    )
    replication_factor: int | None = Field(
        None,
        ge=1,
        le=9,
        description="replicas of the table's changelog topic, where not EDDY_TOPIC_REPLICAS",
    )
    session_table_mb: int = Field(
        2048,
        ge=1,
        description="memory for the sessions of one worker; beyond it visitors with one event are forgotten "
        "first, those with a purchase last",
    )
    session_timeout_s: float = Field(
        10.0, ge=1, le=90, description="silence after which a worker is taken for dead by its group"
    )
    session_processor_leaves: bool = Field(
        False,
        description="whether a worker that gets SIGTERM leaves its group, and others have its partitions at "
        "once: where it is stopped for good, as by an autoscaler. Without, they wait for "
        "EDDY_SESSION_TIMEOUT_S, and one that is only restarted finds its partitions again",
    )
    stall_s: float = Field(
        10.0,
        ge=1,
        le=3600,
        description="silence of a partition with unread events after which a worker is not ready; after "
        "three times as long it ends, and its next start reads them",
    )
    bad_events_in_a_row: int = Field(
        1000, ge=1, description="undecodable events in a row after which the worker stops rather than go on"
    )

    @property
    def datadir(self) -> Path:
        """Faust's folder, of this tenant alone."""
        return Path(self.session_processor_datadir) / tenants.folder(self.topic_prefix)

    @property
    def changelog_replicas(self) -> int:
        """How many brokers are to have the table's changelog."""
        return self.topic_replicas if self.replication_factor is None else self.replication_factor

    @property
    def instance(self) -> str:
        """This worker's name in the group: a restarted worker takes its partitions back at once."""
        return self.session_processor_instance or f"{socket.gethostname()}-{self.session_processor_port}"
