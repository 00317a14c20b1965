"""The programs of the stack: what each runs, where it tells that it is ready, and their supervisor's file."""

import json
import os
import secrets
import shlex
import sys
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.stack.broker import ROOT, Broker
from infra.stack.settings import StackSettings
from services.ops import settings as ops_settings

OWN_PAGE_PORT: Final = 8080  # the README lets people try a page of their own there, and its origin may call


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stack. `ready_url` is None for the broker, which is asked by its own protocol."""

    name: str
    command: list[str]
    ready_url: str | None
    ports: dict[str, int]  # setting's name → port


def broker_of(settings: StackSettings) -> Broker | None:
    """The stack's own broker, or None where another Kafka is given."""
    if settings.kafka_bootstrap is not None:
        return None
    return Broker(
        settings.stack_folder.resolve() / "kafka",
        settings.kafka_port,
        settings.kafka_controller_port,
        lasts=not settings.kafka_quick_start,
        metrics_port=settings.kafka_metrics_port or None,
    )


def bootstrap_of(settings: StackSettings) -> str:
    """Where the stack's services find Kafka."""
    return settings.kafka_bootstrap or f"127.0.0.1:{settings.kafka_port}"


def programs(settings: StackSettings) -> list[Program]:
    """Every process in the order of its start."""
    broker = broker_of(settings)
    kafka = (
        [
            Program(
                "kafka",
                broker.command(),
                None,
                {"KAFKA_PORT": settings.kafka_port, "KAFKA_CONTROLLER_PORT": settings.kafka_controller_port}
                | ({"KAFKA_METRICS_PORT": broker.metrics_port} if broker.metrics_port else {}),
            )
        ]
        if broker
        else []
    )
    return [
        *kafka,
        _service("services.ingest", "INGEST_PORT", settings.ingest_port),
        _service("services.embedder", "EMBEDDER_PORT", settings.embedder_port),
        _service("services.session_processor", "SESSION_PROCESSOR_PORT", settings.session_processor_port),
        _service("services.recommender", "RECOMMENDER_PORT", settings.recommender_port),
        _service("storefront.demo", "SHOP_PORT", settings.shop_port, name="shop"),
    ]


def _service(module: str, setting: str, port: int, name: str | None = None) -> Program:
    return Program(
        name or module.rpartition(".")[2],
        [sys.executable, "-m", module],
        f"http://127.0.0.1:{port}/readyz",
        {setting: port},
    )


def environment(settings: StackSettings) -> dict[str, str]:
    """What the processes of the stack see: this environment, and the settings that bind them together."""
    pages = (settings.shop_port, OWN_PAGE_PORT)
    origins = ",".join(f"http://{host}:{port}" for port in pages for host in ("127.0.0.1", "localhost"))
    ports = {f"EDDY_{name}": str(port) for each in programs(settings) for name, port in each.ports.items()}
    # One thread of linear algebra a process: two cores are shared by all, and the vectors are small. torch
    # has its own setting in the embedder.
    threads = {"OPENBLAS_NUM_THREADS": "1"}
    return (
        {"EDDY_ALLOWED_ORIGINS": origins, "EDDY_LOG_FORMAT": "console"}
        | threads
        | dict(os.environ)
        | ports
        | _secrets(settings.stack_folder)
        | {
            "PYTHONPATH": str(ROOT),
            "EDDY_STACK_FOLDER": str(settings.stack_folder.resolve()),
            "EDDY_KAFKA_BOOTSTRAP": bootstrap_of(settings),
            "EDDY_CATALOGUE_DIR": str(settings.catalogue_dir),
            "EDDY_CATALOGUE_URL": f"http://127.0.0.1:{settings.shop_port}/",
            "EDDY_INGEST_URL": f"http://127.0.0.1:{settings.ingest_port}",
            "EDDY_EMBEDDER_URL": f"http://127.0.0.1:{settings.embedder_port}",
            "EDDY_RECOMMENDER_URL": f"http://127.0.0.1:{settings.recommender_port}",
            "EDDY_SESSION_PROCESSOR_URL": f"http://127.0.0.1:{settings.session_processor_port}",
        }
    )


SECRETS: Final = (
    "EDDY_TOKEN_SECRET",
    "EDDY_API_KEY",
    "EDDY_ADMIN_KEY",
    "EDDY_WRITE_KEY",
    "EDDY_IDENTITY_KEY",
)


def _secrets(folder: Path) -> dict[str, str]:
    """The demo's own keys and token secret, made at the first start and readable by this user only."""
    path = folder / "secrets.json"
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if missing := [name for name in SECRETS if name not in found]:
        folder.mkdir(parents=True, exist_ok=True)
        found |= {name: secrets.token_urlsafe(32) for name in missing}
        path.touch(mode=0o600)
        path.write_text(json.dumps(found))
    return {name: os.environ.get(name, secret) for name, secret in found.items()}


# What commands on this machine need to know; not what signs tokens.
TOLD: Final = (
    *("EDDY_KAFKA_BOOTSTRAP", "EDDY_TOPIC_PREFIX"),
    *("EDDY_INGEST_URL", "EDDY_RECOMMENDER_URL", "EDDY_SESSION_PROCESSOR_URL", "EDDY_EMBEDDER_URL"),
    *("EDDY_API_KEY", "EDDY_ADMIN_KEY", "EDDY_WRITE_KEY"),
)


def write_local_file(settings: StackSettings) -> None:
    """Addresses and keys of this stack for `services.ops` and `make keys`, readable by this user only."""
    known = environment(settings)
    path = settings.stack_folder.resolve() / ops_settings.FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps({name: known[name] for name in TOLD if name in known}, indent=1))


def supervisor_socket(settings: StackSettings) -> Path:
    """The socket at which the stack's supervisor takes commands."""
    return settings.stack_folder.resolve() / "supervisor.sock"


def write_supervisor_file(settings: StackSettings) -> Path:
    """supervisord's configuration: every program restarted when it dies, its output in logs/."""
    folder = settings.stack_folder.resolve()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    config = RawConfigParser()
    socket = supervisor_socket(settings)
    config["unix_http_server"] = {"file": str(socket), "chmod": "0700"}
    config["supervisord"] = {
        "logfile": str(folder / "logs" / "supervisord.log"),
        "pidfile": str(folder / "supervisord.pid"),
        "childlogdir": str(folder / "logs"),
        "directory": str(ROOT),
        "minfds": "1024",
    }
    config["supervisorctl"] = {"serverurl": f"unix://{socket}"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs(settings):
        config[f"program:{program.name}"] = {
            "command": shlex.join(program.command).replace("%", "%%"),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            "startretries": "10",
            "stopwaitsecs": "20",
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(folder / "logs" / f"{program.name}.log"),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "1",
        }
    path = folder / "supervisord.conf"
    with path.open("w") as file:
        config.write(file)
    return path
