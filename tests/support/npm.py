"""Unmodified SDKs from npm, by the lock file of tests/integration/segment, and what they send with."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from infra.stack.broker import ROOT
from services.files import write_atomically
from tests.support.machine import skip_or_fail

SENDER: Final = ROOT / "tests" / "integration" / "segment"
NODE: Final = ROOT / "build" / "tests" / "node"
INSTALL: Final = ("npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")


def install_sdks() -> Path:
    """The folder with the packages of the lock file; installed anew where that has changed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        skip_or_fail("the SDKs of Segment and RudderStack need Node.js 20 and npm")
    lock, installed = (SENDER / "package-lock.json").read_bytes(), NODE / "installed-package-lock.json"
    NODE.mkdir(parents=True, exist_ok=True)
    with (NODE / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # several workers run tests that need them
        for file in SENDER.iterdir():
            copy, content = NODE / file.name, file.read_bytes()
            if not copy.exists() or copy.read_bytes() != content:
                write_atomically(copy, content)  # another worker's node may be about to read it
        if not installed.exists() or installed.read_bytes() != lock:
            done = subprocess.run(INSTALL, cwd=NODE, capture_output=True, text=True, check=False, timeout=100)
            if done.returncode != 0:
                skip_or_fail(f"npm cannot install the SDKs: {done.stderr.strip()[-400:]}")
            installed.write_bytes(lock)
    return NODE


def send(script: str, *arguments: str, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What a script of that folder prints when it is given (method, message) pairs. It must end well."""
    command = ["node", str(install_sdks() / script), *arguments]
    done = subprocess.run(
        command, input=json.dumps(calls), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
