"""Settings of the operations commands."""

from pydantic import Field, SecretStr

from services.settings import ServiceSettings


class OpsSettings(ServiceSettings):
    """Where the commands find Kafka and ingest, and what they show to be let in."""

    ingest_url: str = Field("http://127.0.0.1:8001", description="where ingest answers")
    api_key: SecretStr | None = Field(None, description="the shop's API key, shown as Authorization: Bearer")
