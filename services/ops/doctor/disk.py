"""Whether there is room: where the broker writes, if that is here, and where models and commands do."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from services.kafka import client_config
from services.model.settings import ROOT
from services.ops.doctor.findings import Finding, State
from services.ops.settings import OpsSettings
from services.ops.topics import LIBRDKAFKA

GB: Final = 1_000_000_000
BAD_BYTES: Final = 1 * GB  # less than what `make up` asks for
WARN_BYTES: Final = 5 * GB
WARN_SHARE: Final = 0.05
ASK_S: Final = 3.0


def verdict(free: int, total: int) -> State:
    """What so many bytes mean."""
    if free < BAD_BYTES:
        return "bad"
    return "warn" if free < WARN_BYTES or free < WARN_SHARE * total else "ok"


def room(settings: OpsSettings, broker_answers: bool) -> list[Finding]:
    """A line a disk."""
    store = urlsplit(settings.model_store)
    places = {
        "models": Path(store.path) if store.scheme in {"", "file"} else None,
        "ops": settings.ops_datadir,
        "build": ROOT / "build" / "stack",
    }
    if broker_answers:
        places |= {
            f"broker {folder}": Path(folder) for folder in _log_dirs(settings) if Path(folder).is_dir()
        }
    disks: dict[int, tuple[Path, list[str]]] = {}
    for name, path in places.items():
        if path is None:
            continue
        there = _there(path)
        disks.setdefault(there.stat().st_dev, (there, []))[1].append(name)
    return [_line(path, names) for path, names in disks.values()]


def _line(path: Path, names: Iterable[str]) -> Finding:
    usage = shutil.disk_usage(path)
    told = f"{usage.free / GB:,.1f} of {usage.total / GB:,.0f} GB are free at {path} ({', '.join(names)})"
    state = verdict(usage.free, usage.total)
    what = "" if state == "ok" else "free some, or move it: a broker that cannot write stops"
    return Finding("disk", state, told, what)


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.resolve()
    return path if path.exists() else next(each for each in path.parents if each.exists())


def _log_dirs(settings: OpsSettings) -> set[str]:
    """Folders of all brokers' logs, wherever they are. The broker tells no free space over its protocol."""
    admin = AdminClient(client_config(settings), logger=LIBRDKAFKA)
    try:
        ids = admin.list_topics(timeout=ASK_S).brokers
        asked = admin.describe_configs(
            [ConfigResource(ResourceType.BROKER, str(number)) for number in ids], request_timeout=ASK_S
        )
        found = [future.result()["log.dirs"].value for future in asked.values()]
    except KafkaException:  # not everybody may ask that
        return set()
    return {folder for value in found if value for folder in value.split(",")}
