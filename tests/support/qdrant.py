"""The stand-in of a Qdrant server as a process of its own, with a key and a certificate where wanted."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.stack.broker import ROOT
from services.settings import QdrantSettings
from tests.support.machine import free_ports
from tests.support.patience import patiently

START_S: Final = 60.0


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority of its own, and what it signed for 127.0.0.1."""

    authority: Path
    certificate: Path
    private_key: Path


def sign(folder: Path) -> Certificates:
    """Made with openssl, as an operator would."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    made = Certificates(authority, folder / "server.pem", folder / "server.key")
    request, names = folder / "server.csr", folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    key = ("-newkey", "rsa:2048", "-nodes")
    for command in (
        ("req", "-x509", *key, "-days", "2", "-subj", "/CN=test authority",
         "-keyout", authority_key, "-out", authority),
        ("req", *key, "-subj", "/CN=qdrant", "-keyout", made.private_key, "-out", request),
        ("x509", "-req", "-days", "2", "-in", request, "-CA", authority, "-CAkey", authority_key,
         "-CAcreateserial", "-extfile", names, "-out", made.certificate),
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return made


class StandIn:
    """Runs from `start` to `kill`; what it was told outlives it."""

    def __init__(
        self, folder: Path, *, key: str = "", tls: Certificates | None = None, with_rest: bool = False
    ) -> None:
        self._folder = folder
        self._key = key
        self._tls = tls
        self.port, self.rest_port = free_ports(2)
        self._with_rest = with_rest
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "StandIn":
        """Returns when it takes connections; one that runs is left alone."""
        if self._process is not None:
            return self
        arguments = [str(self._folder / "data"), str(self.port)]
        if self._key:
            arguments += ["--key", self._key]
        if self._tls is not None:
            arguments += ["--certificate", str(self._tls.certificate)]
            arguments += ["--private-key", str(self._tls.private_key)]
        if self._with_rest:
            arguments += ["--rest-port", str(self.rest_port)]
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.qdrant_server", *arguments],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

        @patiently(START_S, 0.05)
        def check_listens() -> None:
            assert process.poll() is None, (self._folder / "log").read_text()
            for port in (self.port, *((self.rest_port,) if self._with_rest else ())):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()

        check_listens()
        return self

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a service that uses it."""
        found = {
            "EDDY_QDRANT_URL": f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.rest_port}",
            "EDDY_QDRANT_GRPC_PORT": str(self.port),
            "EDDY_QDRANT_KEEP_S": "0",
        }
        if self._key:
            found["EDDY_QDRANT_API_KEY"] = self._key
        if self._tls is not None:
            found["EDDY_QDRANT_CA_FILE"] = str(self._tls.authority)
        return found

    def settings(self, **more: Any) -> QdrantSettings:
        """The same as settings, with others."""
        named = {name.removeprefix("EDDY_").lower(): value for name, value in self.environment.items()}
        return QdrantSettings.model_validate(named | more)
