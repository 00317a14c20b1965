"""One process that serves: the only one, or one of several behind one port."""

from functools import partial

from services.logging import configure_logging
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from services.web.server import serve


def serve_one(settings: RecommenderSettings, shared_port: int | None = None) -> None:
    """Serves in this process until SIGTERM."""
    serve(
        partial(create_app, settings),
        "recommender",
        settings.host,
        settings.recommender_port,
        sockets=True,
        stop_delay_s=settings.stop_delay_s,
        bounds=settings,
        shared_port=shared_port,
        setting=None if shared_port is None else "EDDY_RECOMMENDER_WORKER_PORT",
    )


def serve_worker(settings: RecommenderSettings, number: int) -> None:
    """The worker with this number, from 1 on, which has a port and an index of its own."""
    configure_logging(settings, "recommender")
    mine = settings.model_copy(
        update={
            "recommender_port": settings.recommender_worker_port + number - 1,
            "recommender_datadir": settings.process_datadir / f"worker-{number}",
        }
    )
    serve_one(mine, shared_port=settings.recommender_port)
