"""How every HTTP service listens: uvicorn on a socket that was taken before anything else started."""

import logging
import socket
import sys
from collections.abc import Callable
from typing import Final, Literal

import uvicorn
from fastapi import FastAPI

KEEP_ALIVE_S: Final = 30  # a shopper's next click mostly finds the connection open
GRACE_S: Final = 5  # requests under way when SIGTERM comes
BACKLOG: Final = 2048
PING_S: Final = 20.0  # a live socket that does not answer for so long again is gone
MESSAGE_MAX_BYTES: Final = 64 * 1024  # of what a client says on a socket


def serve(
    create_app: Callable[[], FastAPI],
    service: str,
    host: str,
    port: int,
    *,
    sockets: Literal["none", "websockets-sansio"] = "none",
    grace_s: int = GRACE_S,
) -> None:
    """Serves until SIGTERM; `sockets` is uvicorn's implementation of WebSockets. Blocks."""
    listening = _listen(service, host, port)
    logging.getLogger("uvicorn.error").addFilter(_is_no_handshake)
    config = uvicorn.Config(
        create_app,
        factory=True,  # clients are built in the loop that serves
        loop="uvloop",
        http="httptools",
        ws=sockets,
        ws_max_size=MESSAGE_MAX_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,  # 14 KiB a connection instead of 64 (DESIGN §9)
        log_config=None,
        access_log=False,  # the query may hold a token
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _is_no_handshake(record: logging.LogRecord) -> bool:
    """uvicorn logs each socket's address with its query, whatever `access_log` says: a token may be in it."""
    return "WebSocket %s" not in str(record.msg)


def _listen(service: str, host: str, port: int) -> socket.socket:
    """The listening socket; a port in use ends the process with what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        setting = f"EDDY_{service.upper()}_PORT"
        sys.exit(f"{service} cannot listen on {host}:{port}: {error.strerror}. Free it, or set {setting}.")
