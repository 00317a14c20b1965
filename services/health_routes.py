"""GET /healthz, /readyz and /metrics of the services with an HTTP API."""

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, Response

from services.observability import Readiness, readiness_body


def health_routes(
    readiness: Readiness,
    registry: CollectorRegistry,
    facts: Callable[[], Mapping[str, int]] = dict,
) -> APIRouter:
    """The routes that operators and orchestrators ask; `facts` are counts that /readyz tells besides."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=JSONResponse)
    async def healthz() -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz", response_class=JSONResponse, responses={503: {"description": "not ready, and why"}}
    )
    async def readyz() -> Response:
        """Whether the service can do its work; otherwise 503 and what is being waited for."""
        waiting_for = readiness()
        body = readiness_body(waiting_for) | dict(facts())
        return JSONResponse(body, 200 if waiting_for is None else 503)

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters and timings for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
