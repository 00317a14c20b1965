"""What the machine gives to tests: free ports, real data; a skip, on CI a failure, where it lacks a thing."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest

from infra.stack.broker import ROOT

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 6 << 30  # a whole run leaves 0.4 GB there, and its services need 4
SHARED_DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class QdrantServer:
    """A server that EDDY_QDRANT_URL names, for the tests that want one."""

    url: str
    api_key: str | None

    def connect(self) -> "QdrantClient":
        from qdrant_client import QdrantClient  # noqa: PLC0415 - two seconds, and every run reads this module

        return QdrantClient(url=self.url, api_key=self.api_key)


def skip_or_fail(reason: str) -> NoReturn:
    """Skips where a person's machine lacks something; on CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true: {reason}")
    pytest.skip(reason)


# Below the kernel's own range (from 32,768 on), so no connection takes what a test is about to listen on,
# and a block for each of pytest's workers.
PORTS = range(20_000, 32_000)
PORTS_EACH = 1_500


def _own_ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    block = PORTS[worker * PORTS_EACH % len(PORTS) :][:PORTS_EACH]
    begin = os.getpid() % PORTS_EACH  # another run on this machine may be at its beginning
    return cycle([*block[begin:], *block[:begin]])


_ports = _own_ports()


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, one after the other."""
    while True:
        first = next(_ports)
        found = [first, *(next(_ports) for _ in range(count - 1))]
        if found == [*range(first, first + count)] and all(map(_is_free, found)):
            return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def put_temporary_folders_in_memory() -> None:
    """Where there is room: indexes, brokers and stores of tests would wait for the disk at each change.

    Who names a place by PYTEST_DEBUG_TEMPROOT or --basetemp is left it.
    """
    if MEMORY.is_dir():
        free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
        if free > MEMORY_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
