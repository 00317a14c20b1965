"""`python -m services.ingest`: the HTTP API that events and products come in by."""

import socket
import sys
from typing import Final

import uvicorn

from services.cli import start
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings

KEEP_ALIVE_S: Final = 30  # a shopper's next click mostly finds the connection open
GRACE_S: Final = 5  # requests under way when SIGTERM comes; they end within 2 s
BACKLOG: Final = 2048


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    settings = start(
        IngestSettings,
        "ingest",
        "Takes events and products over HTTP and puts them on [events] and [products].",
        "EDDY_TOKEN_SECRET=change-me-to-something-long python -m services.ingest",
    )
    listening = _listen(settings.host, settings.ingest_port)
    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,  # the query may hold a token
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket; a port in use ends the process with what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        sys.exit(
            f"ingest cannot listen on {host}:{port}: {error.strerror}. Free it, or set EDDY_INGEST_PORT."
        )


if __name__ == "__main__":
    main()
