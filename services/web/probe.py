"""`python -m services.web.probe`: whether the service of this container is ready, as its health check asks.

It looks up what process 1 runs, asks that service's /readyz, and ends with 0 or 1. Only the standard library
is imported: this runs every ten seconds. A unit test holds the ports against the services' settings.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

# What a service's port is called, and its default.
PORTS: Final = {
    "services.ingest": ("EDDY_INGEST_PORT", 8001),
    "services.recommender": ("EDDY_RECOMMENDER_PORT", 8002),
    "services.session_processor": ("EDDY_SESSION_PROCESSOR_PORT", 8003),
    "services.embedder": ("EDDY_EMBEDDER_PORT", 8004),
    "storefront.demo": ("EDDY_SHOP_PORT", 8000),
}
WITHIN_S: Final = 4.0


def find_port(command: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Where the service that this command starts tells its health; None for a command that has no port."""
    for module in command:
        if module in PORTS:
            name, default = PORTS[module]
            return int(environment.get(name) or default)
    return None


def ask(port: int, within_s: float = WITHIN_S) -> str | None:
    """Why the service at this port is not ready, or None when it is."""
    connection = HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(1000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else body


def main(first: Path = Path("/proc/1/cmdline")) -> int:
    """The status of this process."""
    port = find_port(first.read_bytes().decode().split("\0"), os.environ)
    waiting_for = None if port is None else ask(port)
    if waiting_for is not None:
        print(waiting_for, file=sys.stderr)
    return 0 if waiting_for is None else 1


if __name__ == "__main__":
    sys.exit(main())
