"""A real Prometheus of a test's own, over services that run."""

import math
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from infra.alarms import FOLDER, RULES
from tests.support.machine import free_ports, skip_or_fail
from tests.support.patience import patiently

EVERY = "1s"  # scrapes and rules; people have 15 s
VARIABLES = {"$__rate_interval": "1m", "$tenant": ".*", "$instance": ".*"}


class Prometheus:
    """Asks it by its HTTP API."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0)

    def query(self, expression: str) -> list[float]:
        """The values of all series now, without those that are no number. Fails where PromQL does."""
        answer = self.http.post("/api/v1/query", data={"query": fill(expression)}).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        data = answer["data"]
        found = [data["result"]] if data["resultType"] == "scalar" else [s["value"] for s in data["result"]]
        return [number for _, text in found if not math.isnan(number := float(text))]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with what became of its last evaluation."""
        groups = self.http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def fill(expression: str) -> str:
    """As Grafana sends it when everything is chosen."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert not re.search(r"\$\w", expression), f"a variable that no dashboard has: {expression}"
    return expression


@contextmanager
def run_prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """Debian's server with our configuration and rules, told of other targets (job → host:port) and sooner.

    Jobs without a target are left out.
    """
    if shutil.which("prometheus") is None:
        skip_or_fail("a real Prometheus is needed (Debian: apt-get install prometheus)")
    [port] = free_ports(1)
    for path in RULES:
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["interval"] = EVERY
        (folder / path.name).write_text(yaml.safe_dump(rules))
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
    config["scrape_configs"] = [
        job | {"static_configs": [{"targets": [targets[job["job_name"]]]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        *(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
        ),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    with run(command, folder / "prometheus.log"):
        found = Prometheus(port)

        @patiently(20, 0.1)
        def ready() -> None:
            assert found.http.get("/-/ready").status_code == 200

        ready()
        yield found
        found.http.close()


@contextmanager
def run_node_exporter(folder: Path) -> Iterator[str]:
    """Prometheus' own exporter of the machine's disks and clocks; its address."""
    if shutil.which("prometheus-node-exporter") is None:
        skip_or_fail("node_exporter is needed (Debian: apt-get install prometheus-node-exporter)")
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    with run(["prometheus-node-exporter", f"--web.listen-address={address}"], folder / "node_exporter.log"):
        yield address


@contextmanager
def run(command: list[str], log: Path) -> Iterator[None]:
    """A process while the block runs."""
    with ExitStack() as ends:
        process = subprocess.Popen(
            command, stdout=ends.enter_context(log.open("w")), stderr=subprocess.STDOUT
        )
        ends.callback(process.wait, 20)
        ends.callback(process.terminate)
        yield
