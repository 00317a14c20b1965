"""`python -m services.recommender`: recommendations over HTTP, and live over WebSockets."""

from functools import partial
from typing import Final

from services.cli import start_tenants
from services.recommender.settings import RecommenderSettings
from services.recommender.worker import serve_one, serve_worker
from services.web.ports import bind_shared
from services.web.server import GRACE_S
from services.web.workers import Workers

FLUSH_S: Final = 10.0  # after the last request, for what is on its way to Kafka


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    tenants = start_tenants(
        RecommenderSettings,
        "recommender",
        "Recommends products over HTTP and pushes fresh rows over WebSockets.",
        "EDDY_TOKEN_SECRET=the-same-as-ingest-has EDDY_AUTH=optional python -m services.recommender",
    )
    settings = tenants[0].settings  # what is the process's is alike in all
    if settings.recommender_workers == 1:
        serve_one(tenants)
        return
    run, end_within_s = partial(serve_worker, tenants), settings.stop_delay_s + GRACE_S + FLUSH_S
    with bind_shared("recommender", settings.host, settings.recommender_port):
        Workers(run, settings.recommender_workers, end_within_s=end_within_s).serve()


if __name__ == "__main__":
    main()
