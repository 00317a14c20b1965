"""One pipeline in the shadow: its topics, its processes, the events through it, and its rows."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from schemas.experiments import Experiment
from schemas.models import ModelRelease
from schemas.sessions import SESSION_BYTES_MAX
from schemas.topics import SESSIONS
from services.kafka.ranges import open_reader
from services.kafka.writer import open_writer
from services.model.settings import ROOT
from services.ops.replay import recommendations, sessions, shadow_topics
from services.ops.replay.consumer_group import LOOK_EVERY_S, Group, wait_for
from services.ops.replay.figures import SessionsCompared
from services.ops.replay.next_click import Case
from services.ops.replay.recommendations import LostTargets, Row, find_lost_targets
from services.ops.replay.shadow_topics import Shadow
from services.ops.replay.source import OnEvent, Pace, ReplayFailed, Source, Tally, feed
from services.ops.settings import OpsSettings
from services.progress import Progress, track

# What rows are asked to be ordered for, to draw what purchases cost in clicks; of so many cases of each kind.
MIXTURES: Final = ("click", "buy:0.25,click:0.75", "buy:0.5,click:0.5", "buy:0.75,click:0.25", "buy")
MIXED_MAX: Final = 500

PREFIX: Final = "EDDY_"
SETTING: Final = re.compile(r"^  EDDY_([A-Z0-9_]+)=", re.MULTILINE)  # as services/cli.py describes them
READY_S: Final = 300.0  # a large catalogue is indexed meanwhile
STOP_S: Final = 60.0  # for all that is under way to be acknowledged
CHILD_LOOK_EVERY_S: Final = 0.1
TOLD_LINES: Final = 15
SESSIONS_SPARE: Final = 1_000

Environment = Mapping[str, str | None]  # None: not set, whatever is set here


class ChildDied(ReplayFailed):
    """A process that was started has ended before its time."""


class Child:
    """One running service, and what it logs."""

    def __init__(self, service: str, port: int, environment: Environment, log: Path) -> None:
        self.name = service
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("ab") as output:
            # On Linux the kernel ends a child whose parent was killed.
            setpriv = shutil.which("setpriv")
            with_parent = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
            self._process = subprocess.Popen(
                [*with_parent, *_command(service)],
                env=_merge(environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for this process, which ends them in their order
            )

    def require_alive(self) -> None:
        """Raises ChildDied, with the last lines that it wrote, when it has ended."""
        status = self._process.poll()
        if status is not None:
            raise self._failure(f"ended with status {status}")

    def wait_until_ready(self, within_s: float = READY_S) -> None:
        """Returns when it says so. Raises ChildDied."""
        deadline = time.monotonic() + within_s
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as http:
            while True:
                with suppress(httpx.TransportError):
                    if http.get("/readyz").is_success:
                        return
                self.require_alive()
                if time.monotonic() > deadline:
                    raise self._failure(f"was not ready after {within_s:.0f} s")
                time.sleep(CHILD_LOOK_EVERY_S)

    def stop(self) -> None:
        """SIGTERM, and waits until what is under way has arrived. Raises ChildDied unless it ends well."""
        self.require_alive()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {STOP_S:.0f} s of SIGTERM") from None
        if status not in {0, -signal.SIGTERM}:  # uvicorn ends by the signal that it got
            raise self._failure(f"ended with status {status} at SIGTERM")

    def kill(self) -> None:
        """It is gone afterwards."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _failure(self, how: str) -> ChildDied:
        lines = self._log.read_text(errors="replace").splitlines()[-TOLD_LINES:]
        told = "\n  ".join(lines) or "(it wrote nothing)"
        return ChildDied(f"the shadow's {self.name} {how}; the last it wrote:\n  {told}")


def _command(service: str) -> list[str]:
    return [sys.executable, "-m", f"services.{service}"]


def _merge(environment: Environment) -> dict[str, str]:
    # One thread of linear algebra, as in the local stack: the vectors are small, and with two threads that
    # wait for each other a row took four times as long.
    threads = {"OPENBLAS_NUM_THREADS": "1"}
    merged: dict[str, str | None] = {**threads, **os.environ, "PYTHONPATH": str(ROOT), **environment}
    return {name: value for name, value in merged.items() if value is not None}


def setting_names(*services: str) -> frozenset[str]:
    """The names of services' settings, lower case and without EDDY_, as their own --help lists them."""

    def names_of(service: str) -> frozenset[str]:
        done = subprocess.run(
            [*_command(service), "--help"],
            env=_merge({}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ReplayFailed(f"python -m services.{service} --help does not work:\n{done.stderr.strip()}")
        return names_in(done.stdout)

    with ThreadPoolExecutor() as pool:
        return frozenset().union(*pool.map(names_of, services))


def names_in(told: str) -> frozenset[str]:
    """The settings that a --help lists."""
    return frozenset(name.lower() for name in SETTING.findall(told))


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """What a pipeline is to be: its name in the report, its prefix, and what it has otherwise than live."""

    name: str
    prefix: str
    settings: Mapping[str, str]
    release: ModelRelease | None
    experiment: Experiment | None


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What went through. `seconds` is until the last event's session was acknowledged."""

    tally: Tally
    seconds: float
    late_p99_s: float | None


class Pipeline:
    """Made and taken down by `stack`: whatever happens, its processes go first, and then its topics."""

    def __init__(
        self,
        live: OpsSettings,
        wanted: PipelineSpec,
        *,
        run: str,
        work: Path,
        progress: Progress,
        stack: ExitStack,
    ) -> None:
        self.wanted = wanted
        self.shadow = Shadow(live, wanted.prefix, run)
        self._live = live
        self._work = work / wanted.prefix
        self._progress = progress
        self._stack = stack
        self.key = secrets.token_urlsafe(24)  # of its recommender's API
        self._workers: list[Child] = []
        self.products = 0
        self.lost = LostTargets(0, 0)
        self.mixtures: dict[str, dict[Case, Row]] = {}
        self._recommender: Child | None = None

    def make(self, now: int, *, take_over: bool, on_left: Callable[[str], object]) -> None:
        """Its topics, with the catalogue; `on_left` is told when they cannot be removed at the end."""
        self._stage("making topics")
        self._work.mkdir()
        self._stack.callback(self._remove, on_left)
        self.shadow.make(now, take_over=take_over)
        self.products = shadow_topics.copy(
            self._live,
            self.shadow.settings,
            model=(self._live.model_name, self.wanted.release),
            experiment=self.wanted.experiment,
            now=now,
            progress=self._progress,
        )

    def _remove(self, on_left: Callable[[str], object]) -> None:
        try:
            self.shadow.remove_own()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is still to be taken down
            on_left(
                f"topics {self.shadow.prefix}… could not be removed ({error}): the next replay with the same "
                "--prefix does it"
            )

    def replay(self, source: Source, speed: float | None, workers: int, on_event: OnEvent) -> FeedResult:
        """Feeds the events and waits until they are folded; the workers are gone afterwards."""
        self._start_workers(workers)
        pace, began = Pace(speed, meanwhile=self._look), time.monotonic()
        self._stage("feeding events", len(source))
        target = self.shadow.settings
        tally = feed(source, target, pace, self._progress, on_event=on_event, meanwhile=self._look)
        self._stage("folding events", tally.events)
        group = Group(target, self.shadow.group)
        wait_for(group, group.ends(), tally.events, self._progress, meanwhile=self._look)
        seconds = time.monotonic() - began
        self._stage("stopping workers")
        for worker in self._workers:
            worker.stop()
        return FeedResult(tally, seconds, pace.late_p99_s)

    def compare_sessions(self, tally: Tally) -> SessionsCompared:
        """The sessions here against those of live."""
        with open_reader(self.shadow.settings) as ours, open_reader(self._live) as theirs:
            return sessions.compare_sessions(ours, theirs, tally.identities, tally.visitors, self._progress)

    def rows(
        self,
        cases: Collection[Case],
        k: int,
        visitors: int,
        *,
        keep: bool,
        bought: Collection[Case] = (),
    ) -> dict[Case, Row]:
        """The rows that a recommender of its own makes of the cases; it goes on where it is to be kept.

        Where there are `bought` cases, `mixtures` holds their rows, and some of the others', by what they
        were ordered for.
        """
        with open_reader(self.shadow.settings) as reader:
            spans = reader.spans(SESSIONS)
            stage = f"{self.wanted.name}: looking up the sessions of the cases"
            messages = track(reader.read(spans), self._progress, stage, sum(map(len, spans)))
            states = recommendations.states_of({*cases, *bought}, messages)
        if not states and not keep:
            return {}
        with open_writer(self.shadow.settings) as writer:
            recommendations.put_cases(writer, self.shadow.settings.topic(SESSIONS), states)
        self._stage("starting a recommender")
        child = self._start_recommender(visitors + len(states) + SESSIONS_SPARE)
        child.wait_until_ready()
        self.lost = find_lost_targets(child.url, cases)
        self._stage("asking for rows", len(states))
        ask = partial(recommendations.rows_of, child.url, self.key, states, k, self._progress.advance)
        found = asyncio.run(ask(only=frozenset(cases)))
        if known := [case for case in bought if case in states]:
            some = frozenset([*known, *[*found][:: -(-len(found) // MIXED_MAX) or 1]])
            self._stage("asking for rows by objective", len(some) * len(MIXTURES))
            self.mixtures = {each: asyncio.run(ask(objective=each, only=some)) for each in MIXTURES}
        if keep:
            self._recommender = child
        else:
            child.stop()
        return found

    @property
    def url(self) -> str | None:
        """Where its recommender answers, while one is up."""
        return self._recommender.url if self._recommender is not None else None

    def _start_workers(self, count: int) -> None:
        self._stage(f"starting {count} session processor{'s' if count > 1 else ''}")
        for number, port in enumerate(free_ports(count)):
            own = {
                "SESSION_PROCESSOR_HOST": "127.0.0.1",
                "SESSION_PROCESSOR_PORT": str(port),
                "SESSION_PROCESSOR_GROUP": self.shadow.group_setting,
                "SESSION_PROCESSOR_INSTANCE": f"worker-{number}",
                "SESSION_PROCESSOR_DATADIR": str(self._work / f"faust-{number}"),
            }
            log = self._work / f"session_processor-{number}.log"
            self._workers.append(self._start_service("session_processor", port, own, log))
        for worker in self._workers:
            worker.wait_until_ready()
        group = Group(self.shadow.settings, self.shadow.group)
        while group.members(settled=True) != count:
            self._look()
            time.sleep(LOOK_EVERY_S)

    def _start_recommender(self, sessions_max: int) -> Child:
        (port,) = free_ports(1)
        own = {
            "HOST": "127.0.0.1",
            "RECOMMENDER_PORT": str(port),
            "RECOMMENDER_DATADIR": str(self._work / "index"),
            "RECOMMENDER_MODELS": str(self._work / "models"),
            "MODEL_NAME": self._live.model_name,
            "SESSIONS_MAX": str(sessions_max),
            "SESSIONS_MB": str(1 + sessions_max * (SESSION_BYTES_MAX + 1024) // (1 << 20)),  # all of them fit
            "LIVE_LEARNING_S": "0",
            "IMPRESSIONS": "false",
            "EMBEDDER_URL": "",
            "NLQ_URL": None,
            "TENANTS": None,
            "TENANTS_FILE": None,
            "ADMIN_KEY": None,
            "API_KEY": self.key,
            "TOKEN_SECRET": secrets.token_urlsafe(24),
        }
        return self._start_service("recommender", port, own, self._work / "recommender.log")

    def _start_service(self, service: str, port: int, own: Environment, log: Path) -> Child:
        shared = {
            "KAFKA_BOOTSTRAP": self._live.kafka_bootstrap,
            "TOPIC_PREFIX": self.shadow.prefix,
            "LOG_FORMAT": "console",
            "LOG_LEVEL": "INFO",
            "QDRANT_URL": None,
        }
        changed = {name.upper(): value for name, value in self.wanted.settings.items()}
        environment = {PREFIX + name: value for name, value in {**changed, **shared, **own}.items()}
        child = Child(service, port, environment, log)
        self._stack.callback(child.kill)
        return child

    def _look(self) -> None:
        for worker in self._workers:
            worker.require_alive()

    def _stage(self, what: str, total: int | None = None) -> None:
        self._progress.stage(f"{self.wanted.name}: {what}", total)
