"""`python -m services.ingest`: the HTTP API that events and products come in by."""

import sys
from typing import Final

import uvicorn

from services.cli import start
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings

SWITCH_S: Final = 0.0005  # the delivery thread waits no longer than this for a busy loop
KEEP_ALIVE_S: Final = 30  # a shopper's next click mostly finds the connection open
GRACE_S: Final = 5  # requests under way when SIGTERM comes; they end within 2 s


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    settings = start(
        IngestSettings,
        "ingest",
        "Takes events and products over HTTP and puts them on [events] and [products].",
        "EDDY_TOKEN_SECRET=change-me-to-something-long python -m services.ingest",
    )
    sys.setswitchinterval(SWITCH_S)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.ingest_port,
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


if __name__ == "__main__":
    main()
