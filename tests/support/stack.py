"""A stack of the tests' own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack
from infra.stack.settings import StackSettings
from services.logging import NAMED, REDACTED
from tests.support.machine import free_ports


def settings_on_free_ports(folder: Path) -> StackSettings:
    """A stack of its own in a folder, on ports that nobody uses now."""
    kafka, controller, metrics, shop, ingest, recommender, processor, embedder = free_ports(8)
    return StackSettings(
        stack_folder=folder,
        kafka_port=kafka,
        kafka_controller_port=controller,
        kafka_metrics_port=metrics,
        kafka_quick_start=True,
        shop_port=shop,
        ingest_port=ingest,
        recommender_port=recommender,
        session_processor_port=processor,
        embedder_port=embedder,
    )


@contextmanager
def run_stack(folder: Path) -> Iterator[Stack]:
    """The whole flow, as `make up` starts it, with a quarter of its products; leaves nothing."""
    settings = settings_on_free_ports(folder)
    catalogue = {"catalogue_dir": ROOT / "build" / "tests" / "catalogue", "stack_products": 600}
    stack = Stack(settings.model_copy(update=catalogue))
    pids: list[int] = []
    given = pytest.MonkeyPatch()
    # A model that grows every minute pushes nothing, so a row of before it is not the one of now.
    given.setenv("EDDY_LIVE_LEARNING_S", "0")
    given.setenv("EDDY_SESSION_TIMEOUT_S", "3")  # how long a killed worker stays in its group
    try:
        stack.up(lambda what, seconds: print(f"{what}: {seconds:.1f} s"))
        yield stack
        pids = [stack.pid(name) for name in stack.ports]
    finally:
        stack.down()
        given.undo()
    assert not [pid for pid in pids if pid and psutil.pid_exists(pid)], "`down` has left processes"
    assert secrets_in_logs(settings.stack_folder) == []  # whatever the whole run has used


def secrets_in_logs(folder: Path) -> list[str]:
    """Each key of a stack, and all that looks like a visitor's token, that stands in one of its logs."""
    keys: dict[str, str] = json.loads((folder / "secrets.json").read_text())
    found: list[str] = []
    for path in sorted((folder / "logs").iterdir()):
        text = path.read_text(errors="replace") if path.is_file() else ""
        found += [f"{path.name}: {name}" for name, key in keys.items() if key in text]
        found += [f"{path.name}: {each[0]}" for each in NAMED.finditer(text) if each[0] != REDACTED]
    return found
