"""supervisord's remote interface, one connection a call: state of the programs, start, stop, shutdown."""

import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from supervisor.xmlrpc import SupervisorTransport

ALIVE: Final = frozenset({"RUNNING", "STARTING", "BACKOFF"})
ENDED: Final = frozenset({"FATAL", "EXITED"})
GONE: Final = ENDED | {"STOPPED"}


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisord tells of one program; `pid` is 0 while it does not run."""

    state: str
    pid: int
    description: str


class _Interface(Protocol):
    """What is used of supervisor.rpcinterface, by its names."""

    def getState(self) -> dict[str, str | int]: ...  # noqa: N802
    def getPID(self) -> int: ...  # noqa: N802
    def getProcessInfo(self, name: str) -> dict[str, str | int]: ...  # noqa: N802
    def getAllProcessInfo(self) -> list[dict[str, str | int]]: ...  # noqa: N802
    def startProcess(self, name: str, wait: bool) -> bool: ...  # noqa: N802
    def stopProcess(self, name: str, wait: bool) -> bool: ...  # noqa: N802
    def shutdown(self) -> bool: ...


class Supervisor:
    """The supervisor at a socket. Calls raise OSError when it does not run."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            with self._proxy() as proxy:
                return _interface(proxy).getState()["statename"] == "RUNNING"
        except (OSError, xmlrpc.client.Error):
            return False

    @property
    def pid(self) -> int:
        """supervisord's own process id."""
        with self._proxy() as proxy:
            return _interface(proxy).getPID()

    def program(self, name: str) -> ProgramState:
        """One program's state."""
        with self._proxy() as proxy:
            return _state_of(_interface(proxy).getProcessInfo(name))

    def programs(self) -> dict[str, ProgramState]:
        """Each program's state by its name."""
        with self._proxy() as proxy:
            return {str(each["name"]): _state_of(each) for each in _interface(proxy).getAllProcessInfo()}

    def start(self, name: str) -> None:
        """Starts a program unless it runs; returns at once."""
        if self.program(name).state not in ALIVE:
            with self._proxy() as proxy:
                _interface(proxy).startProcess(name, False)

    def stop(self, name: str, *, wait: bool = True) -> None:
        """Stops a program, which stays so until it is started, and by default waits until it is gone."""
        with self._proxy() as proxy:
            _interface(proxy).stopProcess(name, wait)

    def shutdown(self) -> None:
        """Begins to stop everything, supervisord last."""
        with self._proxy() as proxy:
            _interface(proxy).shutdown()

    def _proxy(self) -> xmlrpc.client.ServerProxy:
        transport = SupervisorTransport("", "", f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://unused", transport)


def _state_of(info: dict[str, str | int]) -> ProgramState:
    return ProgramState(str(info["statename"]), int(info["pid"]), str(info["description"]))


def _interface(proxy: xmlrpc.client.ServerProxy) -> _Interface:
    return cast(_Interface, proxy.supervisor)
