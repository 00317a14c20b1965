"""What an operator runs: commands of `services.ops`, here or as a process, with settings of its own."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typer.testing import CliRunner

from services.ops.__main__ import app
from services.settings import ServiceSettings
from tests.support.launcher import ModuleProcess, start_module
from tests.support.machine import free_ports
from tests.support.services import KEY

Json = dict[str, Any]


@dataclass(frozen=True)
class CommandOutput:
    """What a command printed."""

    out: str
    err: str

    @property
    def json(self) -> Json:
        """The one document on stdout."""
        assert self.out.count("\n") == 1, self.out + self.err
        found: Json = json.loads(self.out)
        return found


def run_command(environment: Mapping[str, str], *arguments: str, status: int = 0) -> CommandOutput:
    """Runs a command in this process with these settings; fails where it ends with another `status`."""
    done = CliRunner().invoke(app, arguments, env=dict(environment))
    assert done.exit_code == status, done.output + repr(done.exception)
    return CommandOutput(done.stdout, done.stderr)


def settings_without_services(settings: ServiceSettings, **more: str) -> dict[str, str]:
    """What commands on these topics see where no service runs."""
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    urls = dict.fromkeys(("INGEST", "RECOMMENDER", "SESSION_PROCESSOR", "EMBEDDER"), nobody)
    return {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": settings.topic_prefix,
        **{f"EDDY_{name}_URL": url for name, url in urls.items()},
        **more,
    }


@dataclass(frozen=True)
class Operator:
    """Runs commands on a broker's topics; `environment` are further settings.

    A process needs seconds for its imports alone: most of what there is to see needs none of its own.
    """

    settings: ServiceSettings
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """What the commands' settings are read from."""
        return {
            "EDDY_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "EDDY_TOPIC_PREFIX": self.settings.topic_prefix,
            "EDDY_API_KEY": KEY,
            **self.environment,
        }

    def __call__(self, *arguments: str, status: int = 0) -> CommandOutput:
        """What it came to; fails where it ends otherwise than with `status`."""
        return run_command(self.variables, *arguments, status=status)

    def start(self, *arguments: str) -> ModuleProcess:
        """`python -m services.ops` as a process; it has no terminal to ask at."""
        return start_module("services.ops", *arguments, environment=os.environ | self.variables)

    def as_process(self, *arguments: str, status: int = 0) -> CommandOutput:
        """The same, by `python -m services.ops`."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        assert process.returncode == status, out + err
        return CommandOutput(out, err)
