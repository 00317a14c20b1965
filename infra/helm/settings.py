"""Which EDDY_ settings each workload of the chart has, and where in values.yaml each is set."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.embedder.settings import EmbedderSettings
from services.ingest.settings import IngestSettings
from services.ops.settings import OpsSettings
from services.recommender.settings import RecommenderSettings
from services.session_processor.settings import SessionProcessorSettings
from services.trainer.settings import TrainerSettings

# Key in values.yaml → the settings that its `settings` map may have.
CLASSES: Final[Mapping[str, type[BaseSettings]]] = {
    "ingest": IngestSettings,
    "recommender": RecommenderSettings,
    "sessionProcessor": SessionProcessorSettings,
    "embedder": EmbedderSettings,
    "trainer": TrainerSettings,
}
# `app.kubernetes.io/component` of the pods → the settings that they read.
COMPONENTS: Final[Mapping[str, type[BaseSettings]]] = {
    "ingest": IngestSettings,
    "recommender": RecommenderSettings,
    "session-processor": SessionProcessorSettings,
    "embedder": EmbedderSettings,
    "trainer": TrainerSettings,
    "ops": OpsSettings,
}

# What the chart itself sets, and the value that says so; "" where nobody may: ports, folders, addresses in
# the cluster. templates/_environment.tpl has them.
OWN: Final[Mapping[str, str]] = {
    "EDDY_KAFKA_BOOTSTRAP": "kafka.bootstrap",
    "EDDY_KAFKA_SECURITY_PROTOCOL": "kafka.securityProtocol",
    "EDDY_KAFKA_SASL_MECHANISM": "kafka.saslMechanism",
    "EDDY_KAFKA_CA_FILE": "kafka.caSecret",
    "EDDY_KAFKA_USERNAME": "kafka.existingSecret",
    "EDDY_TOPIC_PREFIX": "topicPrefix",
    "EDDY_REPLICATION_FACTOR": "kafka.replication",
    "EDDY_QDRANT_URL": "qdrant.url",
    "EDDY_MODEL_STORE": "modelStore.url",
    "EDDY_EMBEDDER_URL": "embedder.url",
    "EDDY_HOST": "",
    "EDDY_SESSION_PROCESSOR_HOST": "",
    "EDDY_EMBEDDER_HOST": "",
    "EDDY_INGEST_PORT": "",
    "EDDY_RECOMMENDER_PORT": "",
    "EDDY_SESSION_PROCESSOR_PORT": "",
    "EDDY_EMBEDDER_PORT": "",
    "EDDY_INGEST_URL": "",
    "EDDY_RECOMMENDER_URL": "",
    # A pod is a process: more of them are more replicas, each with its own metrics.
    "EDDY_RECOMMENDER_WORKERS": "recommender.replicas",
    "EDDY_RECOMMENDER_WORKER_PORT": "",
    "EDDY_RECOMMENDER_DATADIR": "recommender.persistence.enabled",
    "EDDY_RECOMMENDER_MODELS": "",
    "EDDY_SESSION_PROCESSOR_DATADIR": "sessionProcessor.persistence.enabled",
    "EDDY_TRAINER_DATADIR": "",
    "EDDY_OPS_DATADIR": "",
    # Host name and port: in a StatefulSet the pod's own name, which lasts.
    "EDDY_SESSION_PROCESSOR_INSTANCE": "",
    "EDDY_EMBEDDER_INSTANCE": "",
}

# Never in values: which key of which Secret.
SECRETS: Final[Mapping[str, str]] = {
    "EDDY_TOKEN_SECRET": "secrets.tokenSecretKey",
    "EDDY_API_KEY": "secrets.apiKeyKey",
    "EDDY_ADMIN_KEY": "secrets.adminKeyKey",
    "EDDY_WRITE_KEY": "secrets.writeKeyKey",
    "EDDY_IDENTITY_KEY": "secrets.identityKeyKey",
    "EDDY_TOKEN_SECRET_ALSO": "secrets.tokenSecretAlsoKey",
    "EDDY_API_KEY_ALSO": "secrets.apiKeyAlsoKey",
    "EDDY_ADMIN_KEY_ALSO": "secrets.adminKeyAlsoKey",
    "EDDY_WRITE_KEY_ALSO": "secrets.writeKeyAlsoKey",
    "EDDY_IDENTITY_KEY_ALSO": "secrets.identityKeyAlsoKey",
    "EDDY_NLQ_KEY": "secrets.nlqKeyKey",
    "EDDY_TENANTS": "",  # a release of the chart is one tenant
    "EDDY_KAFKA_PASSWORD": "kafka.passwordKey",
    "EDDY_QDRANT_API_KEY": "qdrant.apiKeyKey",
}


def variable(field: str) -> str:
    """The environment's name of a field."""
    return f"EDDY_{field.upper()}"


def secret_variables(kind: type[BaseSettings]) -> set[str]:
    """Those whose value nobody may read."""
    return {variable(name) for name, field in kind.model_fields.items() if _is_secret(field.annotation)}


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())


def free_settings(kind: type[BaseSettings]) -> dict[str, dict[str, Any]]:
    """EDDY_ name → JSON Schema of its value, of all that a `settings` map may have."""
    told = kind.model_json_schema()
    definitions = told.get("$defs", {})
    taken = OWN.keys() | secret_variables(kind)
    return {
        variable(name): _plain(each, definitions)
        for name, each in told["properties"].items()
        if variable(name) not in taken
    }


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles and defaults, which depend on the machine here and there."""
    if "$ref" in schema:
        return _plain(definitions[schema["$ref"].rpartition("/")[2]], definitions) | _described(schema)
    kept = {
        key: value
        for key, value in schema.items()
        if key not in {"title", "default", "format", "propertyNames"}
    }
    if "anyOf" in kept:
        kept["anyOf"] = [_plain(each, definitions) for each in kept["anyOf"]]
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _plain(kept["additionalProperties"], definitions)
    return kept


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}
