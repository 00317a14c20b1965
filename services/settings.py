"""Settings shared by all services: read once from the environment (EDDY_…), frozen, passed down."""

import sys
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from schemas import tenants
from schemas.topics import Topic
from schemas.vectors import Layout
from services.web.bounds import BoundsSettings

PERSON_VISITORS_MAX: Final = 100
# Guest checkouts, bugs of pages and fields that were filled in to be left alone.
PLACEHOLDER_IDS: Final = (
    *("undefined", "null", "none", "nil", "nan", "true", "false", "n/a", "na", "-", "?", "[object object]"),
    *("guest", "anonymous", "anon", "unknown", "user", "user_id", "userid", "test", "id", "0", "-1"),
    "00000000-0000-0000-0000-000000000000",
    *("*@example.com", "*@example.org", "*@example.net", "*@test.com", "*@email.com", "*@domain.com"),
    *(
        "noreply@*",
        "no-reply@*",
        "none@*",
        "null@*",
        "undefined@*",
        "guest@*",
        "anonymous@*",
        "na@*",
        "test@*",
    ),
)

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class ServiceSettings(BaseSettings):
    """What every service needs to know. A service's own settings extend this class."""

    model_config = SettingsConfigDict(env_prefix="EDDY_", frozen=True, extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated")
    kafka_security_protocol: SecurityProtocol = Field("PLAINTEXT", description="how to talk to the brokers")
    kafka_sasl_mechanism: SaslMechanism = Field("SCRAM-SHA-512", description="used with SASL_… protocols")
    kafka_username: str | None = Field(None, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ca_file: str | None = Field(None, description="PEM file of the brokers' certificate authority")
    topic_prefix: str = Field(
        "",
        pattern=tenants.PREFIX,
        description="put before every topic's name: the tenant; `shop-a.` is `shop-a` in metrics",
    )

    text_width: int = Field(384, ge=1, le=4096, description="components of the text model's vectors")
    image_width: int = Field(64, ge=1, le=4096, description="components of the picture model's vectors")

    auth: Literal["required", "optional"] = Field(
        "required",
        description="whether keys and tokens are needed; `optional` lets anybody change products and send "
        "events of any visitor, for trying things out. A wrong one is refused either way",
    )

    person_visitors_max: int = Field(
        PERSON_VISITORS_MAX,
        ge=1,
        le=10_000,
        description="visitors (browsers, apps) of one user at most; of more the proven and the newest count",
    )
    placeholder_ids: str = Field(
        ",".join(PLACEHOLDER_IDS),
        description="user ids that mean nobody, comma-separated, in any case, `*` for any text: they join no "
        "visitors",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")
    log_format: Literal["console", "json"] = Field("json", description="lines for people or for machines")

    trace_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the requests for events whose way to the page is recorded as a trace; 0 for "
        "none, and then OpenTelemetry's SDK is not even loaded. Other services follow what ingest has begun, "
        "where theirs is above 0",
    )
    trace_url: str = Field(
        "http://127.0.0.1:4318",
        pattern=r"^https?://\S+$",
        description="the OTLP/HTTP collector of traces; without a path /v1/traces is meant",
    )

    @property
    def layout(self) -> Layout:
        """The content vector's layout for these widths."""
        return Layout.of(self.text_width, self.image_width)

    @property
    def placeholders(self) -> list[str]:
        """The placeholder ids, one by one."""
        return [each.strip() for each in self.placeholder_ids.split(",") if each.strip()]

    @property
    def tenant(self) -> str:
        """The tenant's name in metrics."""
        return tenants.label(self.topic_prefix)

    def topic(self, topic: Topic) -> str:
        """A topic's full name under this process's prefix."""
        return topic.full_name(self.topic_prefix)

    @field_validator("topic_prefix")
    @classmethod
    def _names_a_folder(cls, prefix: str) -> str:
        if prefix in {".", ".."}:
            raise ValueError(f"no folder of a tenant can be called {prefix!r}")
        return prefix

    @model_validator(mode="after")
    def _sasl_needs_credentials(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_username and self.kafka_password
        ):
            raise ValueError("EDDY_KAFKA_USERNAME and EDDY_KAFKA_PASSWORD are needed with a SASL protocol")
        return self


class TopicSettings(ServiceSettings):
    """Who makes topics: how many brokers have what lies on them."""

    topic_replicas: int = Field(
        1, ge=1, le=9, description="replicas of each new topic; as many brokers are needed. 3 outlives one"
    )
    topic_min_isr: int | None = Field(
        None,
        ge=1,
        le=9,
        description="replicas that must have a message before it is acknowledged (min.insync.replicas; "
        "default: 2 with three replicas or more, else 1)",
    )

    @model_validator(mode="after")
    def _cannot_need_more_than_there_are(self) -> Self:
        if self.topic_min_isr is not None and self.topic_min_isr > self.topic_replicas:
            raise ValueError("EDDY_TOPIC_MIN_ISR is more than EDDY_TOPIC_REPLICAS: nothing could be written")
        return self


class QdrantSettings(ServiceSettings):
    """A service that may use a Qdrant server."""

    qdrant_url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="a Qdrant server, http:// or https://; without it the index lives in the recommender "
        "(qdrant-edge)",
    )
    qdrant_api_key: SecretStr | None = Field(None, description="key of the Qdrant server")
    qdrant_ca_file: Path | None = Field(
        None, description="PEM file of the Qdrant server's certificate authority, where the system knows none"
    )
    qdrant_prefer_grpc: bool = Field(
        True, description="whether the Qdrant server is asked by gRPC or by REST"
    )
    qdrant_grpc_port: int = Field(6334, ge=1, le=65535, description="the Qdrant server's port for gRPC")
    qdrant_collection: str = Field(
        "products", min_length=1, description="alias of the collection on the Qdrant server"
    )
    qdrant_timeout_s: int = Field(5, ge=1, le=300, description="how long the Qdrant server may take")
    qdrant_shards: int | None = Field(
        None, ge=1, le=1024, description="shards of a new collection (default: the server's)"
    )
    qdrant_replicas: int | None = Field(
        None, ge=1, le=100, description="copies of each shard of a new collection (default: the server's)"
    )
    qdrant_write_consistency: int | None = Field(
        None,
        ge=1,
        le=100,
        description="copies that must have a change before it counts as written (default: the server's)",
    )
    qdrant_quantization: Literal["none", "int8"] = Field(
        "none",
        description="int8: a new collection is searched over one byte a component, in memory; more than are "
        "asked for are then compared as they are",
    )
    qdrant_oversampling: float = Field(
        2.0, ge=1, le=10, description="times as many as are asked for that are compared so, with int8"
    )
    qdrant_vectors_on_disk: bool = Field(
        False, description="whether a new collection's vectors lie on disk rather than in memory"
    )
    qdrant_payload_on_disk: bool | None = Field(
        None, description="whether a new collection's payloads lie on disk (default: the server's)"
    )
    qdrant_hnsw_m: int | None = Field(
        None, ge=4, le=128, description="edges of the graph a product (default: the server's)"
    )
    qdrant_hnsw_ef_construct: int | None = Field(
        None, ge=4, le=4096, description="candidates while the graph is built (default: the server's)"
    )
    qdrant_hnsw_ef: int | None = Field(
        None, ge=4, le=4096, description="candidates while the graph is searched (default: the server's)"
    )
    qdrant_strict: bool = Field(
        False,
        description="whether a new collection refuses filters without an index, and questions beyond bounds",
    )
    qdrant_keep_s: float = Field(
        10.0,
        ge=0,
        le=86_400,
        description="how long `index rebuild` leaves the collection before, for questions under way",
    )

    @field_validator("qdrant_url", mode="before")
    @classmethod
    def _read_empty_as_none(cls, value: object) -> object:
        return value or None


class TenantListSettings(BaseSettings):
    """The tenants of one process, where it serves several."""

    model_config = SettingsConfigDict(env_prefix="EDDY_", frozen=True, extra="ignore")

    tenants: SecretStr | None = Field(
        None,
        description="several tenants in one process: a JSON list of objects with `topic_prefix`, where each "
        "answers (`hosts`, `path`), its keys, and any other setting that tenants may have apart; see "
        "`Several shops` in infra/docs/operate.md",
    )
    tenants_file: Path | None = Field(
        None, description="a file with that list, in place of EDDY_TENANTS: it has all tenants' keys"
    )


class HttpSettings(ServiceSettings, BoundsSettings, TenantListSettings):
    """A service that browsers talk to."""

    host: str = Field("127.0.0.1", description="address to listen on")
    allowed_origins: str = Field(
        "http://127.0.0.1:8000,http://localhost:8000",
        description="the shop's origins, comma-separated, that browsers may call from; * for any",
    )
    token_secret: SecretStr = Field(
        min_length=16, description="signs visitor tokens; the same in ingest and recommender"
    )
    token_secret_also: SecretStr | None = Field(
        None,
        min_length=16,
        description="while secrets are changed: a second one whose visitor tokens are taken; it signs none",
    )
    api_key: SecretStr | None = Field(
        None, min_length=16, description="what the shop's back end shows as Authorization: Bearer"
    )
    api_key_also: SecretStr | None = Field(
        None, min_length=16, description="while keys are changed: a second API key that is taken"
    )
    admin_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="what a shop's people show as Authorization: Bearer to change rules and experiments, "
        "and to erase visitors",
    )
    admin_key_also: SecretStr | None = Field(
        None, min_length=16, description="while keys are changed: a second admin key that is taken"
    )
    stop_delay_s: float = Field(
        2.0,
        ge=0,
        le=60,
        description="after SIGTERM /readyz says that the service stops, and for so long it still answers "
        "everything: as long as a load balancer takes to notice",
    )

    @model_validator(mode="after")
    def _check_key_is_set(self) -> Self:
        if self.auth == "required" and self.api_key is None:
            raise ValueError(
                "no EDDY_API_KEY is set: set one that the shop's back end shows, such as "
                "`openssl rand -base64 32` prints, or say EDDY_AUTH=optional to let everybody in"
            )
        return self

    @property
    def back_end_keys(self) -> tuple[SecretStr | None, ...]:
        """Keys whose holders have a limit of requests of their own, and none by address."""
        return self.api_key, self.api_key_also, self.admin_key, self.admin_key_also

    @property
    def origins(self) -> list[str]:
        """The allowed origins, one by one."""
        return [origin.strip() for origin in self.allowed_origins.split(",") if origin.strip()]


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """The settings of this process; a bad or missing value ends it with the setting's name on stderr."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name, *within = (str(part) for part in problem["loc"]) if problem["loc"] else ("settings",)
            place = f"{'.'.join(within)}: " if within else ""
            print(f"{_describe(kind, name)}: {place}{problem['msg']}", file=sys.stderr)
    except SettingsError as error:
        name = next((each for each in kind.model_fields if f'"{each}"' in str(error)), "settings")
        print(f"{_describe(kind, name)}: this is no JSON", file=sys.stderr)
    raise SystemExit(2)


def _describe(kind: type[BaseSettings], name: str) -> str:
    """A field as its variable, and what it means."""
    field = kind.model_fields.get(name)
    if field is None:
        return name
    variable = f"{kind.model_config.get('env_prefix', '')}{name.upper()}"
    return f"{variable} ({field.description})" if field.description else variable
