"""Where and on what the figures were measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from infra.stack.broker import ROOT


class Machine(msgspec.Struct, frozen=True):
    """The machine, and the revision that ran on it. `load` is the 1-minute load average before the start."""

    date: str
    revision: str
    cores: int
    cpu: str
    memory_gb: float
    system: str
    python: str
    load: float


def this_machine() -> Machine:
    """This machine, now."""
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        revision=_revision(),
        cores=len(os.sched_getaffinity(0)),
        cpu=_cpu(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=platform.platform(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _revision() -> str:
    """The git commit, with a + where files differ from it; unknown outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    revision = git("rev-parse", "--short=12", "HEAD")
    return (revision or "unknown") + ("+" if git("status", "--porcelain") else "")
