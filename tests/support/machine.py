"""What the machine gives to tests: free ports, real data; a skip, on CI a failure, where it lacks a thing."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import pytest

from infra.stack.broker import ROOT

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

MEMORY_BYTES = 1 << 29  # an index takes 16 MB, a large one 200
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


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def memory_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory where the machine has room there: an index waits for the disk at each change."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES:
        with TemporaryDirectory(prefix="eddy-", dir=memory) as folder:
            yield Path(folder)
    else:
        yield otherwise
