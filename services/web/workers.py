"""Several processes of one service behind one port: a parent starts them, starts them anew, and ends them.

Each worker has a port of its own from its begin on, where /healthz, /readyz and /metrics are its own. It
takes part in the shared port (SO_REUSEPORT: the kernel spreads connections) only once it is ready.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from time import monotonic
from types import FrameType
from typing import Final

import structlog

from services.web.connections import ServerConfig
from services.web.ports import multiply
from services.web.shutdown import GracefulServer, StopFlag

FIRST_PAUSE_S: Final = 0.5  # before a worker is started anew; twice as long each time that it does not last
LAST_PAUSE_S: Final = 30.0
LASTED_S: Final = 60.0  # what ran for so long begins with the first pause again

log = structlog.get_logger()


class WorkerServer(GracefulServer):
    """The server of one worker: it takes part in the shared port from the moment when it is ready."""

    config: ServerConfig

    def __init__(self, config: ServerConfig, stop: StopFlag, delay_s: float, sharing: socket.socket) -> None:
        super().__init__(config, stop, delay_s)
        self._sharing: socket.socket | None = sharing

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self._sharing is not None and self.config.connections.waiting_for() is None:
            sharing, self._sharing = self._sharing, None
            loop, backlog = asyncio.get_running_loop(), self.config.backlog
            self.servers += [
                await loop.create_server(self._connection, sock=each, backlog=backlog)
                for each in multiply(sharing)
            ]
            log.info("the worker takes part", port=sharing.getsockname()[1])
        return await super().on_tick(counter)

    def _connection(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class Worker:
    """One worker and its processes, one after the other."""

    def __init__(self, number: int, run: Callable[[int], None]) -> None:
        self.number = number
        self._run = run
        self._pause_s = FIRST_PAUSE_S
        self._began = 0.0
        self.starts = 0
        self.due: float | None = None  # when it is to be started, as `monotonic` has it
        self.process: BaseProcess | None = None

    def start(self) -> None:
        """Starts a process. It is a new interpreter: libraries' threads do not survive a fork."""
        self.due, self._began = None, monotonic()
        self.starts += 1
        self.process = get_context("spawn").Process(
            target=_work, args=(self._run, self.number), name=f"worker-{self.number}"
        )
        self.process.start()

    def plan(self) -> None:
        """The process has ended: another is started after a pause."""
        now = monotonic()
        if now - self._began >= LASTED_S:
            self._pause_s = FIRST_PAUSE_S
        self.process, self.due = None, now + self._pause_s
        log.warning("a worker has ended, and is started anew", worker=self.number, pause_s=self._pause_s)
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)


class Workers:
    """So many workers. `run` is called in each, with its number from 1 on, and serves until SIGTERM."""

    def __init__(self, run: Callable[[int], None], count: int, *, end_within_s: float) -> None:
        self._workers = [Worker(number, run) for number in range(1, count + 1)]
        self._end_within_s = end_within_s
        self._told: int | None = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def serve(self) -> None:
        """Blocks until SIGTERM or SIGINT, and ends as by that signal when all workers have.

        A worker that ends with a status of its own at its very first start ends all, with that status: what
        is wrong then, such as a setting, stays wrong.
        """
        former = {number: signal.signal(number, self._tell) for number in (signal.SIGTERM, signal.SIGINT)}
        status = 0
        try:
            for worker in self._workers:
                worker.start()
            while self._told is None and not status:
                status = self._watch()
        finally:
            self._end()
            for number, handler in former.items():
                signal.signal(number, handler)
        if self._told is not None:
            signal.raise_signal(self._told)
        sys.exit(status)

    def _tell(self, number: int, _frame: FrameType | None) -> None:
        self._told = number
        os.write(self._wake, b"!")

    def _watch(self) -> int:
        """Waits for what happens next. The status to end with, 0 for none."""
        due = [worker.due for worker in self._workers if worker.due is not None]
        running = {each.process.sentinel: each for each in self._workers if each.process is not None}
        ended = wait([self._woken, *running], max(min(due) - monotonic(), 0) if due else None)
        for sentinel, worker in running.items():
            if sentinel not in ended or worker.process is None:
                continue
            worker.process.join()
            status = worker.process.exitcode or 0
            if worker.starts == 1 and status > 0:
                return status
            worker.plan()
        for worker in self._workers:
            if worker.due is not None and worker.due <= monotonic():
                worker.start()
        return 0

    def _end(self) -> None:
        left = [worker.process for worker in self._workers if worker.process is not None]
        for process in left:
            process.terminate()
        until = monotonic() + self._end_within_s
        for process in left:
            process.join(max(until - monotonic(), 0))
            if process.is_alive():
                log.error("a worker does not end, and is killed", worker=process.name)
                process.kill()
                process.join()


def _work(run: Callable[[int], None], number: int) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    run(number)


def _end_with_parent() -> None:
    """Nobody else would end a worker whose parent was killed."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
