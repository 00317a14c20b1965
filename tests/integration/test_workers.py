"""Workers behind one port: they are started anew, end with their parent, and share a port to listen."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from infra.stack.broker import ROOT
from services.web.ports import bind_shared
from tests.support.light_workers import STATUS

Parent = subprocess.Popen[str]


@contextmanager
def start_workers(work: str) -> Iterator[Parent]:
    """A parent of two workers that do `work` of `light_workers`."""
    code = (
        "from services.web.workers import Workers; from tests.support import light_workers; "
        f"Workers(light_workers.{work}, 2, end_within_s=10).serve()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        try:
            yield parent
        finally:
            parent.kill()


def next_worker(parent: Parent) -> psutil.Process:
    assert parent.stdout is not None
    return psutil.Process(int(next(line for line in parent.stdout if line.strip().isdigit())))  # not a log's


def test_a_worker_that_dies_is_started_anew_and_sigterm_ends_all() -> None:
    with start_workers("work") as parent:
        workers = [next_worker(parent), next_worker(parent)]
        workers[0].kill()
        workers.append(next_worker(parent))
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == -signal.SIGTERM
        assert not psutil.wait_procs(workers, timeout=30)[1]


def test_workers_end_with_a_parent_that_is_killed() -> None:
    with start_workers("work") as parent:
        workers = [next_worker(parent), next_worker(parent)]
        parent.kill()
        assert not psutil.wait_procs(workers, timeout=30)[1]


def test_a_worker_that_cannot_start_ends_all_with_its_status() -> None:
    with start_workers("break_down") as parent:
        assert parent.wait(60) == STATUS


def test_the_port_is_kept_and_takes_connections_only_where_somebody_listens() -> None:
    with bind_shared("recommender", "127.0.0.1", 0) as parent:
        port = parent.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind(("127.0.0.1", port))
        with bind_shared("recommender", "127.0.0.1", port) as one:
            one.listen()
            socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"127\.0\.0\.1:{port}.*EDDY_RECOMMENDER_PORT"):
            bind_shared("recommender", "127.0.0.1", port)
