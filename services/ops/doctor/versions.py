"""Whether what runs here is what requirements.lock says."""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from services.model.settings import ROOT
from services.ops.doctor.findings import Finding

LOCK: Final = ROOT / "requirements.lock"
PINNED: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)
PYTHON: Final = (3, 11)
TOLD: Final = ("faust-streaming", "confluent-kafka", "qdrant-client", "qdrant-edge-py", "msgspec")
NAMED: Final = 5


def versions(lock: Path = LOCK) -> list[Finding]:
    """One line."""
    installed = {_name(each.metadata["Name"]): each.version for each in distributions()}
    pinned = (
        {_name(name): version for name, version in PINNED.findall(lock.read_text())} if lock.exists() else {}
    )
    return [verdict(sys.version_info[:2], installed, pinned)]


def verdict(python: tuple[int, ...], installed: Mapping[str, str], pinned: Mapping[str, str]) -> Finding:
    """What is installed against what is pinned; packages of other services may be left out."""
    told = f"python {'.'.join(map(str, python))}, " + ", ".join(
        f"{name} {installed.get(name, 'missing')}" for name in TOLD
    )
    if python < PYTHON:
        return Finding("versions", "bad", told, f"Eddy needs Python {'.'.join(map(str, PYTHON))} or newer")
    if missing := [name for name in TOLD if name not in installed]:
        return Finding("versions", "bad", f"{told}; missing: {', '.join(missing)}", "make setup")
    others = [
        f"{name} {installed[name]}, pinned {version}"
        for name, version in sorted(pinned.items())
        if name in installed and installed[name] != version
    ]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        what = "make setup: these versions were not tested together"
        return Finding("versions", "warn", f"{told}; differ: {'; '.join(others[:NAMED])}{more}", what)
    if not pinned:
        return Finding("versions", "ok", f"{told} (no {LOCK.name} to compare with)")
    return Finding("versions", "ok", f"{told}, all as {LOCK.name}")


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
