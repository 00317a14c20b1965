"""`python -m services.ingest`: the HTTP API that events and products come in by."""

from functools import partial

from services.cli import start_tenants
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings
from services.tenants import create_app_for
from services.web.server import serve


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    tenants = start_tenants(
        IngestSettings,
        "ingest",
        "Takes events and products over HTTP and puts them on [events] and [products].",
        "EDDY_TOKEN_SECRET=change-me-to-something-long EDDY_AUTH=optional python -m services.ingest",
    )
    settings = tenants[0].settings  # what is the process's is alike in all
    serve(
        partial(create_app_for, create_app, tenants),
        "ingest",
        settings.host,
        settings.ingest_port,
        stop_delay_s=settings.stop_delay_s,
        bounds=settings,
    )


if __name__ == "__main__":
    main()
