"""What the machine gives to tests: free ports, real data; a skip, on CI a failure, where it lacks a thing."""

import os
import shutil
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from infra.stack.broker import ROOT
from services.settings import QdrantSettings

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 6 << 30  # a whole run leaves 0.4 GB there, and its services need 4
SHARED_DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class QdrantServer:
    """A server that EDDY_QDRANT_URL names, for the tests that want one; with all that was said of it."""

    environment: dict[str, str]

    def settings(self, **more: object) -> QdrantSettings:
        named = {name.removeprefix("EDDY_").lower(): value for name, value in self.environment.items()}
        return QdrantSettings.model_validate(named | more)


def skip_or_fail(reason: str) -> NoReturn:
    """Skips where a person's machine lacks something; on CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true: {reason}")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def put_temporary_folders_in_memory() -> None:
    """Where there is room: indexes, brokers and stores of tests would wait for the disk at each change.

    Who names a place by PYTEST_DEBUG_TEMPROOT or --basetemp is left it.
    """
    if MEMORY.is_dir():
        free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
        if free > MEMORY_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
