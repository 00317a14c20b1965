"""Starts and stops the stack: one step after the other, each waited for, each told with its duration."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Final, cast

import httpx

from infra.stack.broker import ROOT
from infra.stack.checks import CannotStart, check
from infra.stack.programs import (
    Program,
    bootstrap_of,
    broker_of,
    environment,
    programs,
    supervisor_socket,
    write_local_file,
    write_supervisor_file,
)
from infra.stack.settings import StackSettings
from infra.stack.supervision import ALIVE, ENDED, GONE, Supervisor
from services.kafka.admin import answers as kafka_answers

READY_WITHIN_S: Final = 120.0
STOPPED_WITHIN_S: Final = 60.0
LOG_LINES: Final = 12

Tell = Callable[[str, float], None]  # what was done, and how many seconds it took


class StepFailed(Exception):
    """A step of the start did not succeed; the text holds the end of its log."""


class Stack:
    """One whole flow on this machine, kept running by supervisord."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._folder = settings.stack_folder.resolve()
        self.shop_url = f"http://127.0.0.1:{settings.shop_port}"
        self.ingest_url = f"http://127.0.0.1:{settings.ingest_port}"
        self.recommender_url = f"http://127.0.0.1:{settings.recommender_port}"
        self.bootstrap = bootstrap_of(settings)
        self.supervisor = Supervisor(supervisor_socket(settings))
        self.ports = {each.name: next(iter(each.ports.values())) for each in programs(settings)}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the stack's processes, for commands that belong to it."""
        return environment(self._settings)

    def up(self, tell: Tell) -> None:
        """Returns when everything answers and the catalogue is on show. Raises CannotStart or StepFailed."""
        if not self.supervisor.is_running:
            check(self._settings)
            self._supervise()
        with ThreadPoolExecutor(1) as beside:  # the broker and the services are waited for anyway
            catalogue = beside.submit(self._make_catalogue)
            self._start_all(tell, lambda: self._timed(tell, "the demo catalogue is drawn", catalogue.result))
        self._timed(tell, "the catalogue is sent", self._load_catalogue)
        self._timed(tell, "its products are embedded and searchable", self._wait_for_catalogue)

    def _start_all(self, tell: Tell, wait_for_catalogue: Callable[[], None]) -> None:
        everything = programs(self._settings)
        broker = [program for program in everything if program.name == "kafka"]
        for program in broker:
            self._timed(tell, "Kafka answers", partial(self._start, program))
        self._timed(tell, "topics are there", lambda: self._run("-m", "services.ops", "topics", "create"))
        services = [program for program in everything if program.name != "kafka"]
        for program in services:  # all at once: they wait for each other by themselves
            if program.name != "shop":
                self.supervisor.start(program.name)
        wait_for_catalogue()
        self.supervisor.start("shop")
        self._release_behaviour(tell)
        for program in services:
            self._timed(tell, f"{program.name} is ready", partial(self._wait, program))

    def down(self) -> bool:
        """Stops everything and waits until it is gone; False when nothing ran."""
        if not self.supervisor.is_running:
            return False
        pid = self.supervisor.pid
        self._stop_services()
        self.supervisor.shutdown()
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while _runs(pid):
            if time.monotonic() > deadline:
                raise StepFailed(f"supervisord ({pid}) has not ended in {STOPPED_WITHIN_S:.0f} s")
            time.sleep(0.05)
        return True

    def _stop_services(self) -> None:
        """All at once, and before the broker, which takes what they have to say at their end.

        supervisord by itself ends one after the other in the order of the alphabet.
        """

        def alive() -> list[str]:
            states = self.supervisor.programs()
            return [name for name, each in states.items() if each.state not in GONE and name != "kafka"]

        for name, each in self.supervisor.programs().items():
            if each.state in ALIVE and name != "kafka":
                self.supervisor.stop(name, wait=False)
        _until(lambda: not alive(), lambda: f"not ended yet: {', '.join(alive())}", STOPPED_WITHIN_S)

    def pid(self, name: str) -> int:
        """The process id of one program, 0 while it does not run."""
        return self.supervisor.program(name).pid

    def log(self, name: str) -> str:
        """The end of a program's log."""
        path = self._folder / "logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:]) if path.exists() else ""

    def _supervise(self) -> None:
        broker = broker_of(self._settings)
        if broker is not None:
            broker.prepare()
        path = write_supervisor_file(self._settings)
        write_local_file(self._settings)
        command = [str(Path(sys.executable).parent / "supervisord"), "-c", str(path)]
        subprocess.run(command, env=self.environment, check=True, cwd=ROOT)
        _until(lambda: self.supervisor.is_running, lambda: "supervisord does not answer")

    def _start(self, program: Program) -> None:
        self.supervisor.start(program.name)
        self._wait(program)

    def _wait(self, program: Program) -> None:
        def ready() -> bool:
            if self.supervisor.program(program.name).state in ENDED:
                raise StepFailed(f"{program.name} does not start:\n{self.log(program.name)}")
            return answers(program.ready_url) if program.ready_url else kafka_answers(self.bootstrap)

        _until(ready, lambda: f"{program.name} is not ready:\n{self.log(program.name)}")

    def _make_catalogue(self) -> None:
        products = str(self._settings.stack_products)
        out = str(self._settings.catalogue_dir)
        self._run("-m", "storefront.demo.catalogue", "--out", out, "--products", products)

    def _release_behaviour(self, tell: Tell) -> None:
        """The model that the demo ships, never in place of one that somebody has released."""
        started, out = time.monotonic(), str(self._settings.catalogue_dir)
        told = self._run("-m", "storefront.demo.shoppers", "release", "--catalogue", out)
        tell(told.strip().rpartition("\n")[2], time.monotonic() - started)

    def _load_catalogue(self) -> None:
        feed = str(self._settings.catalogue_dir / "products.jsonl")
        # Whole addresses: pages of other hosts, such as one with the element in it, show these products, too.
        shop = self.environment["EDDY_CATALOGUE_URL"]
        self._run("-m", "services.ops", "catalogue", "load", "--restart", "--shop-url", shop, feed)

    def _wait_for_catalogue(self) -> None:
        with (self._settings.catalogue_dir / "products.jsonl").open("rb") as feed:
            expected = sum(1 for _ in feed)

        def indexed() -> int:
            body = _client().get(f"{self.recommender_url}/readyz").json()
            return cast(int, body.get("products", 0))

        _until(
            lambda: indexed() >= expected, lambda: f"{indexed()} of {expected} products are searchable", 300
        )

    def _run(self, *arguments: str) -> str:
        """Runs one of our own commands with the stack's settings; returns what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailed(
                f"python {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout

    @staticmethod
    def _timed(tell: Tell, what: str, step: Callable[[], object]) -> None:
        started = time.monotonic()
        step()
        tell(what, time.monotonic() - started)


def answers(url: str) -> bool:
    """Whether a service says at /readyz that it is ready."""
    try:
        return _client().get(url).status_code == 200
    except httpx.HTTPError:
        return False


@cache
def _client() -> httpx.Client:
    """One for all questions: a new one reads the certificates first, 30 ms of CPU time at each question."""
    return httpx.Client(timeout=5.0, limits=httpx.Limits(max_keepalive_connections=0))


def _until(done: Callable[[], bool], otherwise: Callable[[], str], within_s: float = READY_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise StepFailed(f"{otherwise()}\n(waited {within_s:.0f} s)")
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


__all__ = ["CannotStart", "Stack", "StepFailed", "answers", "kafka_answers"]
