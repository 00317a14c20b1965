"""Services as child processes: started with settings of their own, watched, and gone with this process."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import httpx

from services.model.settings import ROOT
from services.ops.replay.question import ReplayFailed

PREFIX: Final = "EDDY_"
SETTING: Final = re.compile(r"^  EDDY_([A-Z0-9_]+)=", re.MULTILINE)  # as services/cli.py describes them
READY_S: Final = 300.0  # a large catalogue is indexed meanwhile
STOP_S: Final = 60.0  # for all that is under way to be acknowledged
LOOK_EVERY_S: Final = 0.1
TOLD_LINES: Final = 15

Environment = Mapping[str, str | None]  # None: not set, whatever is set here


class ChildDied(ReplayFailed):
    """A process that was started has ended before its time."""


class Child:
    """One running service, and what it logs."""

    def __init__(self, service: str, port: int, environment: Environment, log: Path) -> None:
        self.name = service
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_with_parent(), *_command(service)],
                env=_merged(environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for this process, which ends them in their order
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def require_alive(self) -> None:
        """Raises ChildDied, with the last lines that it wrote, when it has ended."""
        status = self._process.poll()
        if status is not None:
            raise self._died(f"ended with status {status}")

    def wait_until_ready(self, within_s: float = READY_S) -> None:
        """Returns when it says so. Raises ChildDied."""
        deadline = monotonic() + within_s
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as http:
            while not self._is_ready(http):
                self.require_alive()
                if monotonic() > deadline:
                    raise self._died(f"was not ready after {within_s:.0f} s")
                sleep(LOOK_EVERY_S)

    @staticmethod
    def _is_ready(http: httpx.Client) -> bool:
        try:
            return http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """SIGTERM, and waits until what is under way has arrived. Raises ChildDied unless it ends well."""
        self.require_alive()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise self._died(f"did not end within {STOP_S:.0f} s of SIGTERM") from None
        if status not in {0, -signal.SIGTERM}:  # uvicorn ends by the signal that it got
            raise self._died(f"ended with status {status} at SIGTERM")

    def kill(self) -> None:
        """It is gone afterwards."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _died(self, how: str) -> ChildDied:
        lines = self._log.read_text(errors="replace").splitlines()[-TOLD_LINES:]
        told = "\n  ".join(lines) or "(it wrote nothing)"
        return ChildDied(f"the shadow's {self.name} {how}; the last it wrote:\n  {told}")


def _command(service: str) -> list[str]:
    return [sys.executable, "-m", f"services.{service}"]


@cache
def _with_parent() -> tuple[str, ...]:
    """On Linux the kernel ends a child whose parent was killed."""
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL", "--") if found else ()


def _merged(environment: Environment) -> dict[str, str]:
    # One thread of linear algebra, as in the local stack: the vectors are small, and with two threads that
    # wait for each other a row took four times as long.
    threads = {"OPENBLAS_NUM_THREADS": "1"}
    merged: dict[str, str | None] = {**threads, **os.environ, "PYTHONPATH": str(ROOT), **environment}
    return {name: value for name, value in merged.items() if value is not None}


def setting_names(*services: str) -> frozenset[str]:
    """The names of services' settings, lower case and without EDDY_, as their own --help lists them."""
    with ThreadPoolExecutor() as pool:
        return frozenset().union(*pool.map(_names_of, services))


def _names_of(service: str) -> frozenset[str]:
    done = subprocess.run(
        [*_command(service), "--help"],
        env=_merged({}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReplayFailed(f"python -m services.{service} --help does not work:\n{done.stderr.strip()}")
    return names_in(done.stdout)


def names_in(told: str) -> frozenset[str]:
    """The settings that a --help lists."""
    return frozenset(name.lower() for name in SETTING.findall(told))


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
