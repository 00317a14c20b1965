"""values.yaml as its readers need it: documented keys for the README, and the schema for Helm."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infra.helm.settings import CLASSES, free_settings

CHART: Final = Path(__file__).parent / "eddy"
MARK: Final = "# -- "
Value = Any  # what YAML holds

STRING: Final = {"type": "string"}
TEXTS: Final = {"type": "object", "additionalProperties": STRING}  # labels, annotations, nodeSelector
TEXT_LIST: Final = {"type": "array", "items": STRING}
OBJECTS: Final = {"type": "array", "items": {"type": "object"}}  # Kubernetes' own, which it checks itself
PORTS: Final = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "integer", "minimum": 1, "maximum": 65535},
}
POSITIVE: Final = {"type": "integer", "minimum": 1}
SERVICE_TYPES: Final = {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}
PERCENT: Final = {"type": "integer", "minimum": 1, "maximum": 100}
QUANTITY: Final = {"type": "string", "pattern": r"^[0-9.]+(m|[KMGTPE]i?)?$"}
SECONDS: Final = {"type": "number", "exclusiveMinimum": 0}

# What the example in values.yaml does not say, by the last word of the key or by the whole key.
BY_NAME: Final[Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(
        ("annotations", "labels", "nodeSelector", "podAnnotations", "podLabels", "dashboards.labels"), TEXTS
    ),
    "affinity": {"type": "object"},
    **dict.fromkeys(
        ("extraEnv", "extraEnvFrom", "tolerations", "extraEgress", "parentRefs", "publicFrom", "metricsFrom"),
        OBJECTS,
    ),
    **dict.fromkeys(("kafkaTo", "qdrantTo", "outsideTo"), OBJECTS),
    **dict.fromkeys(("imagePullSecrets", "archives"), TEXT_LIST),
    **dict.fromkeys(("kafkaPorts", "qdrantPorts", "outsidePorts"), PORTS),
    **dict.fromkeys(("replicas", "minReplicas", "maxReplicas", "withinSeconds", "deadlineSeconds"), POSITIVE),
    "preStopSeconds": {"type": "integer", "minimum": 0, "maximum": 300},
    "lagSeconds": SECONDS,
    "targetCPU": PERCENT,
    "size": QUANTITY,
    "kafka.replication": {"type": "integer", "minimum": 1, "maximum": 9},
    "kafka.securityProtocol": {"enum": ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]},
    "kafka.saslMechanism": {"enum": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "topicPrefix": {"type": "string", "pattern": "^[A-Za-z0-9._-]{0,64}$"},
    "strimzi.apiVersion": {"enum": ["kafka.strimzi.io/v1", "kafka.strimzi.io/v1beta2"]},
    "topics.partitions": {"type": "object", "additionalProperties": POSITIVE},
    "service.type": SERVICE_TYPES,
    "topologySpread.whenUnsatisfiable": {"enum": ["ScheduleAnyway", "DoNotSchedule"]},
    "requestTimeout": {"type": "string", "pattern": r"^[0-9]+(ms|s|m|h)$"},
    "interval": {"type": "string", "pattern": r"^[0-9]+(ms|s|m|h)$"},
    "qdrant.url": {"type": "string", "pattern": r"^(https?://\S+)?$"},
    "prometheusUrl": {"type": "string", "pattern": r"^(https?://\S+)?$"},
    "embedder.url": {"type": "string", "pattern": r"^(https?://\S+)?$"},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            kind: {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
            for kind in ("requests", "limits")
        },
    },
}


@dataclass(frozen=True, slots=True)
class Key:
    """One documented key: its path, its default, and what its comment says."""

    path: str
    default: Value
    meaning: str


def read_values(path: Path = CHART / "values.yaml") -> dict[str, Any]:
    """The defaults."""
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


def read_keys(path: Path = CHART / "values.yaml") -> list[Key]:
    """Every key with a comment `# -- …` right above it, in the file's order."""
    text = path.read_text()
    lines = text.splitlines()
    defaults = yaml.safe_load(text)
    return [
        Key(".".join(names), _at(defaults, names), meaning)
        for names, line, column in _places(yaml.compose(text, Loader=yaml.SafeLoader), ())
        if not lines[line][:column].strip() and (meaning := _meaning(lines, line)) is not None
    ]


def find_undocumented(path: Path = CHART / "values.yaml") -> list[str]:
    """Leaves that neither have a comment nor lie below a key that has one."""
    told = {each.path for each in read_keys(path)}
    return [
        ".".join(names)
        for names in _leaves(read_values(path), ())
        if not any(".".join(names[:length]) in told for length in range(1, len(names) + 1))
    ]


def _places(node: yaml.Node, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Every key with its line and column."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            names = (*above, str(key.value))
            yield names, key.start_mark.line, key.start_mark.column
            yield from _places(value, names)


def _leaves(value: Value, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, (*above, name))
    else:
        yield above


def _at(values: Value, names: tuple[str, ...]) -> Value:
    for name in names:
        values = values[name]
    return values


def _meaning(lines: list[str], line: int) -> str | None:
    """The comment above a line, of as many lines as it has; None where the mark is missing."""
    found: list[str] = []
    for above in reversed(lines[:line]):
        text = above.strip()
        if not text.startswith("#"):
            return None
        found.append(text.removeprefix(MARK) if text.startswith(MARK) else text.lstrip("# "))
        if text.startswith(MARK):
            return " ".join(reversed(found))
    return None


def schema() -> dict[str, Any]:
    """The JSON Schema of the values: what is not in it is refused."""
    meanings = {each.path: each.meaning for each in read_keys()}
    made = _of(read_values(), (), meanings)
    made["properties"]["global"] = {"type": "object"}  # Helm puts it there below a parent chart
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of Eddy's chart", **made}


def _of(value: Value, names: tuple[str, ...], meanings: Mapping[str, str]) -> dict[str, Any]:
    path = ".".join(names)
    described = {"description": meanings[path]} if path in meanings else {}
    if names and names[-1] == "settings":
        return {"type": "object", "additionalProperties": False, "properties": _settings(names), **described}
    for key in (path, ".".join(names[-2:]), names[-1] if names else ""):
        if key in BY_NAME:
            return {**BY_NAME[key], **described}
    if isinstance(value, dict):
        properties = {name: _of(each, (*names, name), meanings) for name, each in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties, **described}
    return {"type": _type(value, path), **described}


def _type(value: Value, path: str) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    raise TypeError(f"{path}: what may be there is not known: BY_NAME has to say it")


def _settings(names: tuple[str, ...]) -> dict[str, Any]:
    """Those of one service, or for all of them what any of them has."""
    if len(names) > 1:
        return free_settings(CLASSES[names[0]])
    return {name: each for kind in CLASSES.values() for name, each in free_settings(kind).items()}


def schema_text() -> str:
    """As values.schema.json has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
