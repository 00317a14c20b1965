"""Settings shared by all services: read once from the environment (EDDY_…), frozen, passed down."""

import sys
from typing import Final, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

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
        "", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="put before every topic's name"
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

    @property
    def layout(self) -> Layout:
        """The content vector's layout for these widths."""
        return Layout.of(self.text_width, self.image_width)

    @property
    def placeholders(self) -> list[str]:
        """The placeholder ids, one by one."""
        return [each.strip() for each in self.placeholder_ids.split(",") if each.strip()]

    def topic(self, topic: Topic) -> str:
        """A topic's full name under this process's prefix."""
        return topic.full_name(self.topic_prefix)

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
        None, description="a Qdrant server; without it the index lives in the recommender (qdrant-edge)"
    )
    qdrant_api_key: SecretStr | None = Field(None, description="key of the Qdrant server")
    qdrant_collection: str = Field("products", min_length=1, description="collection on the Qdrant server")
    qdrant_timeout_s: int = Field(5, ge=1, le=300, description="how long the Qdrant server may take")


class HttpSettings(ServiceSettings, BoundsSettings):
    """A service that browsers talk to."""

    host: str = Field("127.0.0.1", description="address to listen on")
    allowed_origins: str = Field(
        "http://127.0.0.1:8000,http://localhost:8000",
        description="the shop's origins, comma-separated, that browsers may call from; * for any",
    )
    token_secret: SecretStr = Field(
        min_length=16, description="signs visitor tokens; the same in ingest and recommender"
    )
    api_key: SecretStr | None = Field(
        None, min_length=16, description="what the shop's back end shows as Authorization: Bearer"
    )
    admin_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="what a shop's people show as Authorization: Bearer to change rules and experiments, "
        "and to erase visitors",
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
