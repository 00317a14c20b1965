"""Commands find the stack of this machine: its addresses and keys, unless they were told others."""

import json
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from infra.stack import programs
from infra.stack.__main__ import app as stack_commands
from infra.stack.settings import StackSettings
from services.ops import settings as ops_settings
from services.ops.__main__ import app
from services.ops.settings import NoLocalStack, OpsSettings

TOLD = {
    "EDDY_KAFKA_BOOTSTRAP": "127.0.0.1:7000",
    "EDDY_INGEST_URL": "http://127.0.0.1:7001",
    "EDDY_API_KEY": "the stack's",
    "EDDY_WRITE_KEY": "w",
}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack's folder with its file; short enough for a socket's address."""
    for name in programs.TOLD:
        monkeypatch.delenv(name, raising=False)
    with TemporaryDirectory() as made:
        monkeypatch.setenv("EDDY_STACK_FOLDER", made)
        (Path(made) / ops_settings.FILE).write_text(json.dumps(TOLD))
        yield Path(made)


@pytest.fixture
def running(folder: Path) -> Iterator[Path]:
    """The same, with somebody who takes connections where the supervisor does."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / ops_settings.SOCKET))
        listening.listen()
        yield folder


def key(settings: OpsSettings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


def test_a_stack_that_runs_is_found_where_nothing_is_set(running: Path) -> None:
    found = ops_settings.fill_from_local_stack(OpsSettings(), wanted=False)
    assert (found.ingest_url, key(found)) == ("http://127.0.0.1:7001", "the stack's")
    assert found.recommender_url == OpsSettings().recommender_url
    assert found.stack_folder == running


@pytest.mark.parametrize(
    "name", ["EDDY_KAFKA_BOOTSTRAP", "EDDY_API_KEY", "EDDY_ADMIN_KEY", "EDDY_RECOMMENDER_URL"]
)
@pytest.mark.usefixtures("running")
def test_a_flow_that_the_environment_speaks_of_gets_no_key_of_the_stack(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://elsewhere.example")
    given = OpsSettings()
    assert ops_settings.fill_from_local_stack(given, wanted=False) is given


@pytest.mark.usefixtures("running")
def test_an_own_key_wins_where_the_stack_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDDY_API_KEY", "my own")
    found = ops_settings.fill_from_local_stack(OpsSettings(), wanted=True)
    assert (found.ingest_url, key(found)) == ("http://127.0.0.1:7001", "my own")


@pytest.mark.usefixtures("running")
def test_what_make_keys_has_set_is_no_other_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in CliRunner().invoke(stack_commands, ["keys"]).stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, *shlex.split(value))
    given = OpsSettings()
    assert given.model_fields_set >= {"ingest_url", "api_key"}
    found = ops_settings.fill_from_local_stack(given, wanted=False)
    assert (found.kafka_bootstrap, key(found)) == ("127.0.0.1:7000", "the stack's")


def test_a_stack_that_does_not_run_is_taken_only_where_it_is_asked_for(folder: Path) -> None:
    (folder / ops_settings.SOCKET).touch()  # left behind
    assert key(ops_settings.fill_from_local_stack(OpsSettings(), wanted=False)) is None
    assert key(ops_settings.fill_from_local_stack(OpsSettings(), wanted=True)) == "the stack's"


def test_what_cannot_be_read_says_what_to_do(folder: Path) -> None:
    file = folder / ops_settings.FILE
    file.write_text("{")
    with pytest.raises(NoLocalStack, match=r"local\.json is broken .*`make down` and `make up`"):
        ops_settings.read_local_stack(folder)
    file.unlink()
    with pytest.raises(NoLocalStack, match=r"no stack was started here .*`make up`.*EDDY_STACK_FOLDER"):
        ops_settings.read_local_stack(folder)
    file.mkdir()
    with pytest.raises(NoLocalStack, match="Is a directory"):
        ops_settings.read_local_stack(folder)


@pytest.mark.parametrize("words", [["--local", "topics", "check"], ["topics", "check", "--local"]])
def test_local_is_said_before_or_behind_a_command(folder: Path, words: list[str]) -> None:
    (folder / ops_settings.FILE).unlink()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "no stack was started here" in done.stderr


def test_the_stack_writes_what_commands_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDDY_ADMIN_KEY", "the environment's key")
    (folder / ops_settings.FILE).unlink()
    programs.write_local_file(StackSettings())
    told = ops_settings.read_local_stack(folder)
    assert set(told) == set(programs.TOLD) - {"EDDY_TOPIC_PREFIX"}  # which is not set here
    assert told["EDDY_ADMIN_KEY"] == "the environment's key"
    assert told["EDDY_KAFKA_BOOTSTRAP"] == "127.0.0.1:9092"
    assert (folder / ops_settings.FILE).stat().st_mode & 0o077 == 0
    assert {name.removeprefix("EDDY_").lower() for name in programs.TOLD} == ops_settings.FIELDS | {
        "write_key"
    }


def test_keys_are_lines_that_a_shell_takes(folder: Path) -> None:
    done = CliRunner().invoke(stack_commands, ["keys"])
    assert done.exit_code == 0
    assert "export EDDY_API_KEY='the stack'\"'\"'s'\n" in done.stdout
    assert "KAFKA" not in done.stdout
    (folder / ops_settings.FILE).unlink()
    done = CliRunner().invoke(stack_commands, ["keys"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no stack was started here" in done.stderr
