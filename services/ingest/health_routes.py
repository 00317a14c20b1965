"""GET /healthz, /readyz and /metrics."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from services.ingest.metrics import Metrics
from services.ingest.readiness import BrokerProbe
from services.observability import readiness_body


def health_routes(probe: BrokerProbe, metrics: Metrics) -> APIRouter:
    """The routes that operators and orchestrators ask."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=JSONResponse)
    async def healthz() -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz", response_class=JSONResponse, responses={503: {"description": "not ready, and why"}}
    )
    async def readyz() -> Response:
        """Whether Kafka answers and has the topics; otherwise 503 and what is being waited for."""
        waiting_for = probe.waiting_for
        return JSONResponse(readiness_body(waiting_for), 200 if waiting_for is None else 503)

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters and timings for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
