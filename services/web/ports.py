"""Sockets to listen on: a port of one process, or one that several share."""

import socket
import sys
from typing import Final, NoReturn

# Connections that wait to be taken. After a restart 10,000 pages kept a queue of 2,048 full of clients that
# had given up before their turn, for two minutes. Who finds no place tries again, and costs nothing here.
BACKLOG: Final = 256
# libuv takes one connection of a socket in each turn of the loop. A turn may be as long as a row takes, so
# after a restart pages gave up before they were taken.
TAKEN_A_TURN: Final = 8


def listen(service: str, host: str, port: int, setting: str | None = None) -> socket.socket:
    """The listening socket; a port in use ends the process with what to do about it.

    `setting` is the port's, where that is not called after the service.
    """
    try:
        return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
    except OSError as error:
        refuse_port(service, host, port, error, setting)


def bind_shared(service: str, host: str, port: int) -> socket.socket:
    """Bound to a port that processes share; one that others use ends the process with what to do about it.

    One that does not listen takes no connections. The parent's keeps the port while no worker is ready.
    """
    sharing = socket.socket(_family(host))
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sharing.bind((host, port))
    except OSError as error:
        sharing.close()
        refuse_port(service, host, port, error)
    return sharing


def multiply(listening: socket.socket) -> list[socket.socket]:
    """The same socket several times, for a loop to take several connections of it in a turn."""
    return [listening, *(listening.dup() for _ in range(TAKEN_A_TURN - 1))]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def refuse_port(service: str, host: str, port: int, error: OSError, setting: str | None = None) -> NoReturn:
    """Ends the process with what to do about a port that cannot be had."""
    # asyncio and socket say the address once more in the error's own text.
    reason = (error.strerror or str(error)).partition(" (while")[0]
    what_to_do = f"Free it, or set {setting or f'EDDY_{service.upper()}_PORT'}."
    sys.exit(f"{service} cannot listen on {host}:{port}: {reason}. {what_to_do}")
