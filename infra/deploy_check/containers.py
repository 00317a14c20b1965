"""One click to one page through the containers: infra/compose.yaml as it is, on this machine's Docker daemon.

The images must be there (`make images`); others are pulled. Qdrant and Grafana are left out where they cannot
be had, which is told: the index then lives in the recommender.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import yaml
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from websockets.sync.client import connect
from websockets.typing import Origin

from infra.compose_keys import NAMES
from infra.deploy_check import Skipped
from infra.deploy_check.compose import INFRA, ROOT, compose_command

PROJECT: Final = "eddy-deploy-check"
PORTS: Final = ("SHOP_PORT", "INGEST_PORT", "RECOMMENDER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
MAY_LACK: Final = ("qdrant", "grafana")  # what the flow works without
START_WITHIN_S: Final = 900.0
CLICK_WITHIN_S: Final = 60.0


class CheckSettings(BaseSettings):
    """What may be said to this check."""

    model_config = SettingsConfigDict(env_prefix="EDDY_CHECK_", frozen=True, extra="ignore")

    port: int = Field(21500, ge=1, le=65_000, description="the first of its five ports")
    products: int = Field(200, ge=50, description="products of the demo's catalogue")
    override: Path | None = Field(None, description="a compose file more, which wins over ours")


class NotYet(Exception):
    """What is waited for has not come; the text says what."""


def check() -> list[str]:
    """Builds nothing; starts everything, looks, clicks, and takes everything down. Minutes."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        raise Skipped("no Docker daemon answers: start one, `make images`, and run this again")
    compose = compose_command()
    if compose is None:
        raise Skipped("neither docker compose nor docker-compose is here")
    document = yaml.safe_load((INFRA / "compose.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    settings = CheckSettings()
    others = yaml.safe_load(settings.override.read_text())["services"] if settings.override else {}
    absent = [name for name in _absent(document, version) if "image" not in others.get(name, {})]
    if needed := sorted(set(absent) - set(MAY_LACK)):
        raise Skipped(f"images of {', '.join(needed)} are not to be had: `make images`, and a registry")
    for name in absent:
        print(f"SKIPPED  {name}: its image is not to be had, the others run without it")
    with TemporaryDirectory() as folder:
        return _Flow(settings, compose, Path(folder), document, absent).run()


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
        settings: CheckSettings,
        compose: Sequence[str],
        folder: Path,
        document: dict[str, Any],
        absent: Sequence[str],
    ) -> None:
        self._ports = {name: settings.port + number for number, name in enumerate(PORTS)}
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
        files = [INFRA / "compose.yaml"]
        if "qdrant" in absent:
            files.append(folder / "without-qdrant.yaml")
            without = {"environment": {"EDDY_QDRANT_URL": None}}
            services = dict.fromkeys(("recommender", "embedder"), without)
            files[-1].write_text(yaml.safe_dump({"services": services}))
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
            products = self._until(self._products)
            print(f"         {products} products are searchable after {time.monotonic() - started:.0f} s")
            problems = self._page_problems()
            self._until(self._all_well)
            problems += self._container_problems()
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

    def _url(self, name: str, path: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}{path}"

    def _products(self) -> int:
        """How many products the recommender can find, once it is as many as the feed has."""
        try:
            found = int(httpx.get(self._url("RECOMMENDER_PORT", "/readyz"), timeout=10).json()["products"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise NotYet(f"the recommender does not answer: {error!r}") from error
        if found < int(self._environment["PRODUCTS"]):
            raise NotYet(f"{found} of {self._environment['PRODUCTS']} products are searchable")
        return found

    @staticmethod
    def _until(question: Callable[[], int]) -> int:
        asked = retry(
            retry=retry_if_exception_type(NotYet),
            wait=wait_fixed(1),
            stop=stop_after_delay(START_WITHIN_S),
            reraise=True,
        )
        return asked(question)()

    def _page_problems(self) -> list[str]:
        """A visitor opens a page, clicks, and the page's row is told anew because of that click."""
        visitor = httpx.post(self._url("INGEST_PORT", "/v1/visitors"), timeout=30).json()
        shown = {"X-Eddy-Token": visitor["token"]}
        who = {"visitor_id": visitor["visitor_id"]}
        rows = httpx.get(
            self._url("RECOMMENDER_PORT", "/v1/recommendations"), params=who, headers=shown, timeout=30
        ).json()
        event_id = "01JD7Z8QX3N5R2V9W4T6Y8B1CM"
        event = {"event_id": event_id, "type": "view_item", "occurred_at": int(time.time() * 1000)}
        live = self._url("RECOMMENDER_PORT", "/v1/live").replace("http", "ws", 1)
        origin = Origin(f"http://127.0.0.1:{self._ports['SHOP_PORT']}")
        with connect(f"{live}?visitor_id={visitor['visitor_id']}", origin=origin) as socket:
            slots = [{"name": "for_you", "kind": "for_you", "k": 12}]
            socket.send(json.dumps({"type": "subscribe", "token": visitor["token"], "slots": slots}))
            before = json.loads(socket.recv(CLICK_WITHIN_S))
            clicked = time.monotonic()
            product = rows["items"][0]["product_id"]
            taken = httpx.post(
                self._url("INGEST_PORT", "/v1/events"),
                json={"events": [event | who | {"product_id": product}]},
                headers=shown,
                timeout=30,
            )
            if taken.status_code != httpx.codes.ACCEPTED:
                return [f"ingest answers {taken.status_code} to a click: {taken.text}"]
            while time.monotonic() < clicked + CLICK_WITHIN_S:
                row = json.loads(socket.recv(CLICK_WITHIN_S))
                if row.get("caused_by") == event_id:
                    told = (time.monotonic() - clicked) * 1000
                    print(f"         a click on {product} is on the page after {told:.0f} ms")
                    same = [each["product_id"] for each in row["items"]] == [
                        each["product_id"] for each in before["items"]
                    ]
                    return ["the row is the same after the click"] if same else []
        return [f"no row followed the click within {CLICK_WITHIN_S:.0f} s"]

    def _containers(self) -> list[dict[str, Any]]:
        ids = self._call("ps", "-q").stdout.split()
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
