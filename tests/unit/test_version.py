"""One version, told alike by the project, the package of the storefront, every process and every command."""

import json
import re
import tomllib
from typing import Final

import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from infra.reference import registries
from infra.stack.broker import ROOT
from schemas import released
from services import cli
from services.ops.__main__ import app as ops
from services.settings import ServiceSettings
from services.trainer.commands import app as trainer
from services.version import CLIENT_ID, VERSION
from services.web.health import health_body, readiness_body
from tests.support.releases import CHANGELOG, release_before, releases

REGISTRIES: Final = registries()


def test_the_project_and_the_storefronts_package_are_of_the_codes_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package = json.loads((ROOT / "storefront" / "package.json").read_text())
    assert {project["version"], package["version"]} == {VERSION}


def test_the_version_has_three_numbers_and_kafka_takes_it_into_names() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", CLIENT_ID)


@pytest.mark.parametrize("service", REGISTRIES)
def test_every_service_tells_prometheus_its_version(service: str) -> None:
    told = generate_latest(REGISTRIES[service]).decode()
    assert f'eddy_build_info{{version="{VERSION}"}} 1.0' in told


def test_healthz_tells_the_version_and_what_is_open_to_everybody_does_not() -> None:
    assert health_body()["version"] == VERSION
    assert VERSION not in str(readiness_body(None)) + str(readiness_body("Kafka"))


@pytest.mark.parametrize("app", [ops, trainer], ids=["ops", "trainer"])
def test_commands_say_their_version(app: object) -> None:
    found = CliRunner().invoke(app, ["--version"])  # type: ignore[arg-type]
    assert (found.exit_code, found.output) == (0, f"eddy {VERSION}\n")


def test_services_say_their_version_before_any_setting_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ingest", "--version"])
    monkeypatch.setenv("EDDY_LOG_LEVEL", "nonsense")
    with pytest.raises(SystemExit) as ended:
        cli.start(ServiceSettings, "ingest", "", "")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"eddy {VERSION}\n")


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    assert releases()[0].version == VERSION
    told = [tuple(map(int, each.version.split("."))) for each in releases()]
    assert told == sorted(set(told), reverse=True)
    assert len(told) == CHANGELOG.read_text().count("\n## ")


def test_every_entry_but_the_newest_has_the_commit_of_its_code() -> None:
    assert all(each.commit and each.date for each in releases()[1:])
    assert release_before() == releases()[1]


def test_the_changelog_tells_of_every_version_of_messages_whose_readers_come_first() -> None:
    rows = re.findall(r"^\| (\d\d-[a-z-]+) \|[^|]+\| ([a-z_, ]*)\|", CHANGELOG.read_text(), re.M)
    found = {name: tuple(filter(None, first.strip().split(", "))) for name, first in rows}
    assert found == {version.name: version.about.readers_first for version in released.versions()}
