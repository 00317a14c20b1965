"""What an operator runs: commands of `services.ops`, here or as a process, with settings of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from typer.testing import CliRunner

from infra.stack.broker import ROOT
from services.ops.__main__ import app
from services.settings import ServiceSettings
from tests.integration.processes import KEY

Json = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    out: str
    err: str

    @property
    def json(self) -> Json:
        """The one document on stdout."""
        assert self.out.count("\n") == 1, self.out + self.err
        found: Json = json.loads(self.out)
        return found


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

    def __call__(self, *arguments: str, status: int = 0) -> Done:
        """What it came to; fails where it ends otherwise than with `status`."""
        done = CliRunner().invoke(app, arguments, env=self.variables)
        assert done.exit_code == status, done.output + repr(done.exception)
        return Done(done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`python -m services.ops` as a process; it has no terminal to ask at."""
        return subprocess.Popen(
            [sys.executable, "-m", "services.ops", *arguments],
            env=os.environ | self.variables, cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def as_process(self, *arguments: str, status: int = 0) -> Done:
        """The same, by `python -m services.ops`."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        assert process.returncode == status, out + err
        return Done(out, err)
