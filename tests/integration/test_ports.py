"""A port that somebody else has: one sentence, with the setting's name, from every service."""

import os
import socket
from pathlib import Path
from subprocess import DEVNULL

import pytest

from tests.support.launcher import start_module
from tests.support.machine import free_ports
from tests.support.services import SECRET

# What runs, the setting of its port, and what else it is given.
SERVICES: list[tuple[str, str, dict[str, str]]] = [
    ("ingest", "EDDY_INGEST_PORT", {}),
    ("recommender", "EDDY_RECOMMENDER_PORT", {}),
    ("recommender", "EDDY_RECOMMENDER_WORKER_PORT", {"EDDY_RECOMMENDER_WORKERS": "2"}),
    ("session_processor", "EDDY_SESSION_PROCESSOR_PORT", {}),
    ("embedder", "EDDY_EMBEDDER_PORT", {}),
]


@pytest.mark.parametrize(("name", "setting", "more"), SERVICES, ids=[each[1] for each in SERVICES])
def test_a_port_in_use_is_one_sentence_with_the_settings_name(
    name: str, setting: str, more: dict[str, str], tmp_path: Path
) -> None:
    nobody, other = free_ports(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = os.environ | {
            "EDDY_KAFKA_BOOTSTRAP": f"127.0.0.1:{nobody}",
            "EDDY_TOKEN_SECRET": SECRET,
            "EDDY_AUTH": "optional",
            "EDDY_RECOMMENDER_PORT": str(other),
            "EDDY_RECOMMENDER_DATADIR": str(tmp_path),
            **more,
            setting: str(port),
        }
        process = start_module(f"services.{name}", environment=environment, stdout=DEVNULL)
        try:
            _, said = process.communicate(60)
        finally:
            process.kill()
    sentence = f"{name} cannot listen on 127.0.0.1:{port}: Address already in use. Free it, or set {setting}."
    assert [line for line in said.splitlines() if "cannot listen" in line] == [sentence]
    assert "Traceback" not in said
    assert process.poll() == 1
