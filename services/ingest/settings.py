"""Settings of the ingest service."""

from pydantic import Field, SecretStr, field_validator

from services.settings import HttpSettings


class IngestSettings(HttpSettings):
    """What the ingest service needs to know."""

    ingest_port: int = Field(8001, ge=1, le=65535, description="port of the HTTP API")
    write_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="what Segment and RudderStack SDKs show as their write key; it may be public: its holder "
        "sends events of visitors that an SDK names, and reads nobody's",
    )
    write_key_also: SecretStr | None = Field(
        None, min_length=16, description="while keys are changed: a second write key that is taken"
    )
    identity_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="signs user ids: pages show a user's hex HMAC-SHA256 as traits.user_hash, which proves "
        "that the visitor is that user",
    )
    identity_key_also: SecretStr | None = Field(
        None,
        min_length=16,
        description="while keys are changed: a second identity key whose signatures are taken",
    )
    tenant_events_per_s: float = Field(
        0.0,
        ge=0,
        description="events a second that one ingest process takes of its tenant, whoever sends them, ten "
        "times as many at once; 0: no limit",
    )
    ingest_linger_ms: float = Field(
        0.0, ge=0, le=1000, description="how long the producer waits for more events to send together"
    )
    ingest_ack_timeout_ms: int = Field(
        1200, ge=100, le=60_000, description="how long Kafka may take to acknowledge before a 503"
    )
    ingest_buffer_mb: int = Field(
        64, ge=1, le=2048, description="unacknowledged events held in memory before a 503"
    )

    @field_validator("write_key", "write_key_also")
    @classmethod
    def _fits_into_basic_auth(cls, write_key: SecretStr | None) -> SecretStr | None:
        if write_key is not None and ":" in write_key.get_secret_value():
            raise ValueError("the write key goes as the name of HTTP basic auth, which ends at a colon")
        return write_key
