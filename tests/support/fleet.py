"""Several of every service behind one nginx, each of which can be killed, stopped and started by its name."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.settings import TopicSettings
from tests.support.machine import free_ports
from tests.support.proxy import INGEST, RECOMMENDER, TRUST, adapt, run_nginx
from tests.support.services import RunningService, run_service

# One address opens all pages here; and a model that learns would rank other rows than those on open pages.
ENVIRONMENT: Final = TRUST | {
    "OPENBLAS_NUM_THREADS": "1",
    "EDDY_LIVE_LEARNING_S": "0",
    "EDDY_RATE_NEW_VISITORS": "0",
    "EDDY_RATE_ADDRESS": "0",
}
STOPS_WITHIN_S: Final = 30.0
CONNECTIONS: Final = 4096  # of nginx


@dataclass(frozen=True)
class Member:
    """One process: `ingest-1` is the service ingest."""

    name: str
    port: int

    @property
    def service(self) -> str:
        """What `python -m services.…` it is."""
        return self.name.rpartition("-")[0]


class Fleet:
    """The members that there may be; those that run. `own`: by a member's name, what it alone is told."""

    def __init__(
        self,
        settings: TopicSettings,
        folder: Path,
        counts: Mapping[str, int],
        own: Mapping[str, Mapping[str, str]],
    ) -> None:
        names = [f"{service}-{each}" for service, count in counts.items() for each in range(1, count + 1)]
        self._settings = settings
        self._folder = folder
        self._own = own
        self._members = {
            name: Member(name, port) for name, port in zip(names, free_ports(len(names)), strict=True)
        }
        self._running: dict[str, tuple[AbstractContextManager[RunningService], RunningService]] = {}

    def of(self, service: str) -> list[Member]:
        """All members of a service, whether they run or not."""
        return [each for each in self._members.values() if each.service == service]

    @property
    def running(self) -> list[str]:
        """The names of those that run, by the order of their start."""
        return [*self._running]

    @property
    def pids(self) -> dict[str, int]:
        """Name → process of those that run."""
        return {name: service.process.pid for name, (_, service) in self._running.items()}

    def start(self, *names: str) -> None:
        """Starts these at once; returns when all are ready."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._start, names))

    def _start(self, name: str) -> None:
        member = self._members[name]
        own = {
            "EDDY_TOPIC_REPLICAS": str(self._settings.topic_replicas),
            "EDDY_SESSION_PROCESSOR_DATADIR": str(self._folder / name),
            "EDDY_RECOMMENDER_DATADIR": str(self._folder / name),
        }
        running = run_service(
            member.service,
            self._settings,
            self._folder / f"{name}.log",
            environment={**ENVIRONMENT, **own, **self._own.get(name, {})},
            port=member.port,
        )
        self._running[name] = running, running.__enter__()

    def kill(self, name: str) -> None:
        """kill -9."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """SIGTERM, as a deployment does it."""
        self._end(name, signal.SIGTERM)

    def _end(self, name: str, number: int) -> None:
        context, service = self._running.pop(name)
        service.process.send_signal(number)
        service.process.wait(STOPS_WITHIN_S)
        context.__exit__(None, None, None)

    def check_alive(self) -> None:
        """Fails with the log of one that has ended by itself: nothing here starts it again."""
        for name, (_, service) in self._running.items():
            status = service.process.poll()
            assert status is None, f"{name} has ended with {status}: {service.log.read_text()[-3000:]}"

    def end(self) -> None:
        """Kills what runs."""
        for name in self.running:
            self.kill(name)


@dataclass(frozen=True)
class Front:
    """Where the proxy takes what is for ingest, and what is for recommenders; its process."""

    ingest_url: str
    recommender_url: str
    pid: int


@contextmanager
def run_front(folder: Path, ingest: Sequence[Member], recommender: Sequence[Member]) -> Iterator[Front]:
    """nginx before these for the block. The two names that it tells apart are those of this machine."""
    plain, tls = free_ports(2)
    configuration = adapt(
        folder,
        plain=plain,
        tls=tls,
        ingest=[each.port for each in ingest],
        recommender=[each.port for each in recommender],
        names={INGEST: "localhost", RECOMMENDER: "127.0.0.1"},
        connections=CONNECTIONS,
    )
    with run_nginx(folder, configuration) as nginx:
        yield Front(f"https://localhost:{tls}", f"https://127.0.0.1:{tls}", nginx.pid)
