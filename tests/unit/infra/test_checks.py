"""What keeps the stack from starting is told in a sentence that says what to do."""

import shutil
import socket
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from infra.stack import checks
from infra.stack.checks import CannotStart, check
from infra.stack.programs import programs
from infra.stack.settings import StackSettings
from tests.support.machine import free_ports

NAMES = (
    "kafka_port", "kafka_controller_port", "shop_port", "ingest_port", "recommender_port",
    "session_processor_port", "embedder_port",
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    """A stack that could start here, with a Java of the test's making."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(checks, "LIBS", tmp_path)
    _java(monkeypatch, 'openjdk version "21.0.1" 2023-10-17')
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    return StackSettings(stack_folder=tmp_path / "stack", **ports)  # type: ignore[arg-type]


def _java(monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    done = subprocess.CompletedProcess([], 0, stdout="", stderr=says)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def test_nothing_is_in_the_way(settings: StackSettings) -> None:
    check(settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_port_in_use_names_its_setting(settings: StackSettings, name: str) -> None:
    with (
        socket.create_server(("127.0.0.1", getattr(settings, name))),
        pytest.raises(CannotStart, match=f"EDDY_{name.upper()}") as refused,
    ):
        check(settings)
    assert str(getattr(settings, name)) in str(refused.value)


def test_a_missing_java_says_what_to_install(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CannotStart, match=r"there is none: install Java 17 or newer \(Debian: apt-get"):
        check(settings)


def test_an_old_java_is_named(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    _java(monkeypatch, 'java version "1.8.0_202"')
    with pytest.raises(CannotStart, match=r"found java version .1\.8\.0_202.*install Java 17"):
        check(settings)


def test_missing_jars_say_which_command_fetches_them(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checks, "LIBS", tmp_path / "nowhere")
    with pytest.raises(CannotStart, match="make setup"):
        check(settings)


def test_a_full_disk_says_how_much_is_needed(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 5_000_000))
    with pytest.raises(CannotStart, match=r"only 5 MB are free at .*EDDY_STACK_FOLDER"):
        check(settings)


def test_with_a_kafka_of_ones_own_neither_java_nor_a_broker_is_needed(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    own = settings.model_copy(update={"kafka_bootstrap": "kafka:9092"})
    check(own)
    assert "kafka" not in [program.name for program in programs(own)]
