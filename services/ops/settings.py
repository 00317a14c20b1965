"""Settings of the operations commands."""

from pathlib import Path
from tempfile import gettempdir

from pydantic import Field, SecretStr

from services.model.settings import ROOT, ModelSettings
from services.settings import QdrantSettings


class OpsSettings(ModelSettings, QdrantSettings):
    """Where the commands find Kafka and the services, and what they show to be let in."""

    ingest_url: str = Field("http://127.0.0.1:8001", description="where ingest answers")
    recommender_url: str = Field("http://127.0.0.1:8002", description="where a recommender answers")
    session_processor_url: str = Field(
        "http://127.0.0.1:8003", description="health endpoints of a session processor"
    )
    embedder_url: str = Field("http://127.0.0.1:8004", description="health endpoints of the embedder")
    api_key: SecretStr | None = Field(None, description="the shop's API key, shown as Authorization: Bearer")
    admin_key: SecretStr | None = Field(None, description="the admin key, shown as Authorization: Bearer")
    stack_folder: Path = Field(
        ROOT / "build" / "stack", description="where a stack on this machine tells its addresses and keys"
    )
    session_processor_group: str = Field("session-processor", description="consumer group, after the prefix")
    embedder_group: str = Field("embedder", description="consumer group, after the prefix")
    ops_datadir: Path = Field(
        default_factory=lambda: Path(gettempdir()) / "eddy-ops",
        description="what long commands keep for the time being (default: in the folder of temporary files)",
    )
