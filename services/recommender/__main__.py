"""`python -m services.recommender`: recommendations over HTTP, and live over WebSockets."""

from functools import partial

from services.cli import start
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from services.web.server import serve


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    settings = start(
        RecommenderSettings,
        "recommender",
        "Recommends products over HTTP and pushes fresh rows over WebSockets.",
        "EDDY_TOKEN_SECRET=the-same-as-ingest-has EDDY_AUTH=optional python -m services.recommender",
    )
    serve(
        partial(create_app, settings),
        "recommender",
        settings.host,
        settings.recommender_port,
        sockets=True,
        stop_delay_s=settings.stop_delay_s,
        bounds=settings,
    )


if __name__ == "__main__":
    main()
