"""Services as real processes on the test's broker and topics."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from services.settings import ServiceSettings
from tests.support.launcher import ModuleProcess, start_fresh, start_module
from tests.support.machine import free_ports
from tests.support.patience import patiently

KEY = "the key of the shop's back end"
SECRET = "a secret of the tests"
WRITE_KEY = "the write key of the shop"
ADMIN_KEY = "the admin key of the shop"
PAGE = "http://127.0.0.1:8000"


class RunningService:
    """A running service, with what it logged."""

    def __init__(self, process: "ModuleProcess | subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.http = httpx.Client(base_url=self.url, timeout=10, verify=False)  # reads no certificates

    def wait_for(self, path: str, within_s: float = 120) -> None:
        """Returns when the path answers 200; fails with the log when the process has ended."""

        @patiently(within_s, 0.05)
        def check_answer() -> None:
            assert self.process.poll() is None, self.log.read_text()
            self.http.get(path).raise_for_status()

        check_answer()

    def below(self, path: str) -> "RunningService":
        """The same service as pages know it whose tenant answers below this path; close its `http`."""
        seen = RunningService(self.process, self.port, self.log)
        seen.http.close()
        seen.url = self.url + path
        seen.http = httpx.Client(base_url=seen.url, timeout=10, verify=False)
        return seen

    def metrics(self) -> str:
        """What /metrics tells, without the label that all samples of a test's service have alike."""
        return without_tenant(self.http.get("/metrics").text)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


def without_tenant(metrics: str) -> str:
    """Samples as they are declared, without the label `tenant`."""
    return re.sub(r',?tenant="[^"]*"', "", metrics).replace("{}", "")


@contextmanager
def run_service(
    name: str,
    settings: ServiceSettings,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    until: str = "/readyz",
    fresh: bool = False,
    tree: Path | None = None,
) -> Iterator[RunningService]:
    """`python -m services.<name>` on these brokers and topics; killed at the end where it still runs.

    `fresh`: it imports all by itself and shares no memory with others, as what is measured has to. `tree`:
    the code is another release's, which lies there.
    """
    port = port or free_ports(1)[0]
    variables = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": settings.topic_prefix,
        f"EDDY_{name.upper()}_PORT": str(port),
        "EDDY_TOKEN_SECRET": SECRET,
        "EDDY_API_KEY": KEY,
        "EDDY_AUTH": "optional",  # tests of what keys open ask for "required"
        "EDDY_ALLOWED_ORIGINS": PAGE,
        "EDDY_LOG_FORMAT": "console",
        "EDDY_SESSION_TIMEOUT_S": "3",  # how long a killed worker stays in its group
        **(environment or {}),
    }
    with log.open("ab") as output:
        fresh_start = partial(start_fresh, tree=tree) if tree else start_fresh
        start = fresh_start if fresh or tree else start_module
        process = start(f"services.{name}", environment=variables, stdout=output, stderr=output)
    service = RunningService(process, port, log)
    try:
        service.wait_for(until)
        yield service
    finally:
        service.http.close()
        service.kill()
