"""What must be true before the stack starts; each refusal is a sentence that says what to do."""

import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from infra.stack.broker import LIBS
from infra.stack.programs import programs
from infra.stack.settings import StackSettings

FREE_DISK_BYTES: Final = 1_000_000_000
JAVA: Final = 17


class CannotStart(Exception):
    """The stack cannot run here as things are; the text says what to do."""


def check(settings: StackSettings) -> None:
    """Raises CannotStart for a missing Java, a port in use or a full disk."""
    if settings.kafka_bootstrap is None:
        _check_java()
    _check_disk(settings.stack_folder)
    for program in programs(settings):
        for setting, port in program.ports.items():
            _check_port(program.name, setting, port)


def _check_java() -> None:
    advice = f"install Java {JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless)"
    if shutil.which("java") is None:
        raise CannotStart(f"Kafka needs Java, and there is none: {advice}")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        raise CannotStart(
            f"Kafka needs Java {JAVA}, found {said.splitlines()[0] if said else 'none'}: {advice}"
        )
    if not LIBS.is_dir():
        raise CannotStart("Kafka's jars are missing: run `make setup`, which fetches them with Maven")


def _check_disk(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < FREE_DISK_BYTES:
        raise CannotStart(
            f"only {free // 1_000_000} MB are free at {folder}, and Kafka needs 1 GB: "
            "free some, or set EDDY_STACK_FOLDER to another disk"
        )


def _check_port(program: str, setting: str, port: int) -> None:
    with socket.socket() as probe:
        # As servers do: a port whose last owner has just gone may be taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CannotStart(
                f"port {port}, which {program} needs, is in use: "
                f"stop the program that has it, or set EDDY_{setting} to another port"
            ) from None
