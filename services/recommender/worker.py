"""One process that serves: the only one, or one of several behind one port."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from services.logging import configure_logging
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from services.tenants import Tenant, create_app_for
from services.web.server import serve

Tenants = Sequence[Tenant[RecommenderSettings]]


def serve_one(tenants: Tenants, shared_port: int | None = None) -> None:
    """Serves these tenants in this process until SIGTERM."""
    settings = tenants[0].settings
    serve(
        partial(create_app_for, create_app, tenants),
        "recommender",
        settings.host,
        settings.recommender_port,
        sockets=True,
        stop_delay_s=settings.stop_delay_s,
        bounds=settings,
        shared_port=shared_port,
        setting=None if shared_port is None else "EDDY_RECOMMENDER_WORKER_PORT",
    )


def serve_worker(tenants: Tenants, number: int) -> None:
    """The worker with this number, from 1 on, which has a port and an index of its own."""
    settings, *others = (each.settings for each in tenants)
    configure_logging(settings, "recommender", *others)
    own = {
        "recommender_port": settings.recommender_worker_port + number - 1,
        "recommender_datadir": settings.process_datadir / f"worker-{number}",
    }
    mine = [replace(each, settings=each.settings.model_copy(update=own)) for each in tenants]
    serve_one(mine, shared_port=settings.recommender_port)
