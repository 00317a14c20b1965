"""Writes infra/docs/reference.md and topics.md from the code: `python -m infra.reference`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from infra.stack.settings import StackSettings
from schemas.times import DAY_MS
from schemas.topics import TOPICS
from services.embedder.metrics import Metrics as EmbedderMetrics
from services.embedder.settings import EmbedderSettings
from services.ingest.metrics import Metrics as IngestMetrics
from services.ingest.settings import IngestSettings
from services.model.settings import ModelSettings, SessionSettings
from services.ops.settings import OpsSettings
from services.recommender.metrics import Metrics as RecommenderMetrics
from services.recommender.settings import RecommenderSettings
from services.session_processor.metrics import Metrics as SessionProcessorMetrics
from services.session_processor.settings import SessionProcessorSettings
from services.settings import HttpSettings, QdrantSettings, ServiceSettings, TopicSettings
from services.trainer.settings import TrainerSettings
from services.web.tenants import FrontMetrics
from storefront.demo.settings import ShopSettings

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "infra" / "docs" / "reference.md"
TOPICS_FILE: Final = FILE.with_name("topics.md")

SETTINGS: Final[Mapping[str, type[BaseSettings]]] = {
    "Every service": ServiceSettings,
    "Services that browsers talk to (ingest, recommender)": HttpSettings,
    "Services that may use a Qdrant server (embedder, recommender)": QdrantSettings,
    "Who makes topics (ops, session_processor)": TopicSettings,
    "What makes a session (session_processor, recommender, trainer)": SessionSettings,
    "Models of behaviour (recommender, trainer)": ModelSettings,
    "services.ingest": IngestSettings,
    "services.session_processor": SessionProcessorSettings,
    "services.embedder": EmbedderSettings,
    "services.recommender": RecommenderSettings,
    "services.ops": OpsSettings,
    "services.trainer": TrainerSettings,
    "The local stack (`make up`, `make demo`)": StackSettings,
    "The demo shop": ShopSettings,
}


def registries() -> dict[str, CollectorRegistry]:
    """Each service's metrics."""
    return {
        "services.ingest": IngestMetrics().registry,
        "services.session_processor": SessionProcessorMetrics().registry,
        "services.embedder": EmbedderMetrics().registry,
        "services.recommender": RecommenderMetrics().registry,
        "a process of several tenants": FrontMetrics().registry,
    }


def text() -> str:
    """The whole page."""
    lines = [
        "# Settings and metrics",
        "",
        "Made by `python -m infra.reference` from the code; a test holds it against the code.",
        "Settings are environment variables; a bad value stops the start with the setting's name.",
        "Every metric has the label `tenant` besides (operate.md, several shops).",
        "",
    ]
    seen: set[str] = set()
    for title, kind in SETTINGS.items():
        lines += [f"## {title}", "", "| setting | default | what it means |", "|---|---|---|"]
        lines += _settings(kind, seen)
        lines.append("")
    for service, registry in registries().items():
        lines += [f"## Metrics of {service}", "", "| metric | kind | what it tells |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {told} |" for name, kind, told in _metrics(registry)]
        lines.append("")
    return "\n".join(lines)


def topics_text() -> str:
    """The page of topics: one table, a row a topic."""
    lines = [
        "# Topics",
        "",
        "Made by `python -m infra.reference` from `schemas/topics.py`; a test holds it against the code.",
        "`python -m services.ops topics create` makes what is missing, `topics check` tells what differs.",
        "",
        "| topic | key | message | encoding | partitions | cleanup | kept | written by | read by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for topic in TOPICS:
        days = f"{topic.retention_ms // DAY_MS} days" if topic.retention_ms is not None else ""
        if topic.retention_bytes is not None:
            days += f", at most {topic.retention_bytes >> 20} MB a partition"
        kept = days or ("the newest of each key" if topic.cleanup == "compact" else "as the broker says")
        lines.append(
            f"| `{topic.name}` | {topic.key} | {topic.message} | {topic.encoding} | {topic.partitions} | "
            f"{topic.cleanup} | {kept} | {', '.join(topic.written_by)} | {', '.join(topic.read_by)} |"
        )
    return "\n".join([*lines, ""])


def _settings(kind: type[BaseSettings], seen: set[str]) -> Iterator[str]:
    """A line a setting that no table before this one has."""
    for name, field in kind.model_fields.items():
        variable = f"EDDY_{name.upper()}"
        if kind not in (StackSettings, ShopSettings) and variable in seen:
            continue
        seen.add(variable)
        yield f"| `{variable}` | {_shown(field)} | {field.description} |"


def _shown(field: FieldInfo) -> str:
    """The default; none for what depends on the machine, which the description tells."""
    if field.is_required():
        return "(required)"
    if field.default_factory is not None or field.default in (None, ""):
        return ""
    shown = f"{field.default}".replace(f"{ROOT}/", "")
    return f"`{shown}`"


def _metrics(registry: CollectorRegistry) -> Iterator[tuple[str, str, str]]:
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, family.type, family.documentation


if __name__ == "__main__":
    FILE.write_text(text())
    TOPICS_FILE.write_text(topics_text())
