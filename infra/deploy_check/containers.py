"""One click to one page through the containers: infra/compose.yaml as it is, on this machine's Docker daemon.

The images must be there (`make images`); others are pulled. Qdrant and Grafana are left out where they cannot
be had, which is told: the index then lives in the recommender. Then processes are killed: Docker starts them
again, and each event that got a 202 counts once.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import yaml
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.compose_keys import NAMES
from infra.deploy_check import Skipped
from infra.deploy_check.compose import INFRA, ROOT, compose_command, merge
from infra.deploy_check.visits import NotYet, Visits, wait_until

PROJECT: Final = "eddy-deploy-check"
PORTS: Final = (
    *("SHOP_PORT", "INGEST_PORT", "RECOMMENDER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"),
    *("PROXY_INGEST_PORT", "PROXY_RECOMMENDER_PORT"),
)
MAY_LACK: Final = ("qdrant", "qdrant-2", "qdrant-3", "grafana")  # what the flow works without
WATCHED: Final = ("ingest", "session-processor", "embedder", "recommender")  # each may have a second, "-2"
KILLED: Final = ("recommender", "session-processor", "ingest", "kafka")
START_WITHIN_S: Final = 900.0
BACK_WITHIN_S: Final = 300.0  # seconds from a kill to the next click in the visitor's profile


@dataclass(frozen=True, slots=True)
class Deployment:
    """Compose files that stand on each other, and through which ports pages reach them."""

    files: tuple[str, ...] = ("compose.yaml",)
    ingest: str = "INGEST_PORT"
    recommender: str = "RECOMMENDER_PORT"


class CheckSettings(BaseSettings):
    """What may be said to this check."""

    model_config = SettingsConfigDict(env_prefix="EDDY_CHECK_", frozen=True, extra="ignore")

    port: int = Field(21500, ge=1, le=65_000, description="the first of its seven ports")
    products: int = Field(200, ge=50, description="products of the demo's catalogue")
    override: Path | None = Field(None, description="a compose file more, which wins over ours")


def check() -> list[str]:
    """Builds nothing; starts everything, looks, clicks, kills, and takes everything down. Minutes."""
    return check_deployment(Deployment())


def check_deployment(deployment: Deployment) -> list[str]:
    """Everything that is wrong. Raises Skipped."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        raise Skipped("no Docker daemon answers: start one, `make images`, and run this again")
    compose = compose_command()
    if compose is None:
        raise Skipped("neither docker compose nor docker-compose is here")
    document = merge([yaml.safe_load((INFRA / file).read_text()) for file in deployment.files])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    settings = CheckSettings()
    others = yaml.safe_load(settings.override.read_text())["services"] if settings.override else {}
    absent = [name for name in _absent(document, version) if "image" not in others.get(name, {})]
    if needed := sorted(set(absent) - set(MAY_LACK)):
        raise Skipped(f"images of {', '.join(needed)} are not to be had: `make images`, and a registry")
    for name in absent:
        print(f"SKIPPED  {name}: its image is not to be had, the others run without it")
    with TemporaryDirectory() as folder:
        return _Flow(
            deployment=deployment,
            settings=settings,
            compose=compose,
            folder=Path(folder),
            document=document,
            absent=absent,
        ).run()


def _absent(document: dict[str, Any], version: str) -> list[str]:
    """The services whose image is neither here nor in a registry that can be reached."""
    images = {
        name: service["image"].replace("${VERSION:-" + version + "}", version)
        for name, service in document["services"].items()
    }
    there = {image: _is_here(image) for image in set(images.values())}
    return sorted(name for name, image in images.items() if not there[image])


def _is_here(image: str) -> bool:
    asked = (["docker", "image", "inspect", image], ["docker", "pull", "-q", image])
    return any(subprocess.run(each, capture_output=True, check=False).returncode == 0 for each in asked)


class _Flow:
    """The containers of one check."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        settings: CheckSettings,
        compose: Sequence[str],
        folder: Path,
        document: dict[str, Any],
        absent: Sequence[str],
    ) -> None:
        self._ports = {name: settings.port + number for number, name in enumerate(PORTS)}
        ingest, self._recommender, shop = (
            f"http://127.0.0.1:{self._ports[name]}"
            for name in (deployment.ingest, deployment.recommender, "SHOP_PORT")
        )
        self._visits = Visits(ingest, self._recommender, shop)
        self._keys = {name: secrets.token_urlsafe(32) for name in NAMES}
        self._environment = (
            {name: value for name, value in os.environ.items() if name != "EDDY_QDRANT_URL"}
            | self._keys
            | {name: str(port) for name, port in self._ports.items()}
            | {"PRODUCTS": str(settings.products), "COMPOSE_HTTP_TIMEOUT": "600"}
        )
        self._services = [
            name
            for name, service in document["services"].items()
            if name not in absent and "profiles" not in service
        ]
        files = [INFRA / file for file in deployment.files]
        if "qdrant" in absent:
            files.append(folder / "without-qdrant.yaml")
            without = {"environment": {"EDDY_QDRANT_URL": None}}
            asking = [
                name
                for name, service in document["services"].items()
                if "EDDY_QDRANT_URL" in service.get("environment", {})
            ]
            files[-1].write_text(yaml.safe_dump({"services": dict.fromkeys(asking, without)}))
        if settings.override:
            files.append(settings.override)
        named = [part for path in files for part in ("-f", str(path))]
        self._compose = [*compose, "-p", PROJECT, *named]

    def run(self) -> list[str]:
        """Everything that is wrong."""
        started = time.monotonic()
        try:
            up = self._call("up", "-d", "--no-build", *self._services)
            if up.returncode:
                return [f"the containers do not start: {up.stderr[-2000:]}", *self._logs()]
            products = wait_until(self._products, START_WITHIN_S)
            print(f"         {products} products are searchable after {time.monotonic() - started:.0f} s")
            problems = self._visits.watch_a_click()
            wait_until(self._all_well, START_WITHIN_S)
            problems += self._container_problems()
            print(f"         Prometheus reads {wait_until(self._scraped, START_WITHIN_S)} services")
            problems += self._kill_problems()
            return problems if not problems else [*problems, *self._logs()]
        except NotYet as why:
            return [str(why), *self._logs()]
        finally:
            self._call("down", "-v", "--timeout", "20")

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._compose, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )

    def _logs(self) -> list[str]:
        return self._call("logs", "--tail", "5", "--no-color").stdout.splitlines()[-80:]

    def _products(self) -> int:
        """How many products the recommender can find, once it is as many as the feed has."""
        try:
            found = int(httpx.get(f"{self._recommender}/readyz", timeout=10).json()["products"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise NotYet(f"the recommender does not answer: {error!r}") from error
        if found < int(self._environment["PRODUCTS"]):
            raise NotYet(f"{found} of {self._environment['PRODUCTS']} products are searchable")
        return found

    def _kill_problems(self) -> list[str]:
        """Processes are killed one by one, as a crash does; a visitor goes on clicking."""
        visitor = self._visits.begin()
        products, problems = self._visits.popular(len(KILLED)), []
        for name, product_id in zip(KILLED, products, strict=True):
            before = self._containers(name)[0]
            try:
                os.kill(before["State"]["Pid"], signal.SIGKILL)
            except (PermissionError, ProcessLookupError) as why:
                print(f"SKIPPED  {name} is not killed: {why}")
                break
            taken, told = visitor.click(product_id, BACK_WITHIN_S)
            print(
                f"         {name} is killed: the next click has its 202 after {taken:.1f} s, is in the"
                f" profile after {told:.1f} s"
            )
            wait_until(self._all_well, BACK_WITHIN_S)
            if self._containers(name)[0]["State"]["StartedAt"] == before["State"]["StartedAt"]:
                problems.append(f"{name} was killed, and not started again")
        visitor.count_clicks()
        return problems

    def _containers(self, *services: str) -> list[dict[str, Any]]:
        ids = self._call("ps", "-q", *services).stdout.split()
        inspected = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(inspected.stdout)
        return found

    def _all_well(self) -> int:
        """How many containers run, once each one's own health check says that it is well."""
        running = [each for each in self._containers() if each["State"]["Running"]]
        for each in running:
            if each["State"]["Health"]["Status"] != "healthy":
                raise NotYet(f"{each['Name'].lstrip('/')} is not well: {each['State']['Health']['Log'][-1:]}")
        return len(running)

    def _scraped(self) -> int:
        """How many services Prometheus reads, once it is all of them."""
        wanted = sum(name.removesuffix("-2") in WATCHED for name in self._services)
        address = f"http://127.0.0.1:{self._ports['PROMETHEUS_PORT']}/api/v1/query"
        try:
            told = httpx.get(address, params={"query": 'sum(up{job=~"eddy-.*"})'}, timeout=10).json()
            found = int(told["data"]["result"][0]["value"][1])
        except (httpx.HTTPError, LookupError, ValueError) as error:
            raise NotYet(f"Prometheus does not answer: {error!r}") from error
        if found != wanted:
            raise NotYet(f"Prometheus reads {found} of {wanted} services")
        return found

    def _container_problems(self) -> list[str]:
        """Who runs as root, can write to its root, or has failed."""
        problems = []
        for each in self._containers():
            name, state = each["Name"].lstrip("/"), each["State"]
            if not state["Running"] and state["ExitCode"]:
                problems.append(f"{name} ended with {state['ExitCode']}")
            if not each["HostConfig"]["ReadonlyRootfs"]:
                problems.append(f"{name} can write to its root")
            if state["Running"] and _user_of(each["Id"]) == "0":
                problems.append(f"{name} runs as root")
        return problems


def _user_of(container: str) -> str:
    """The user id of a container's first process."""
    top = subprocess.run(
        ["docker", "top", container, "-o", "pid,uid"], capture_output=True, text=True, check=True
    )
    return top.stdout.splitlines()[1].split()[-1]
