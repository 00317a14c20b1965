"""Spans of requests over HTTP, by OpenTelemetry's conventions. Never the query: it may hold a token."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from schemas.traces import TRACEPARENT, parse
from services.tracing.port import Kind, Tracer, run
from services.web.problems import Problem

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
SERVER_ERROR: Final = 500

Endpoint = Callable[[Request], Awaitable[Response]]


def trace_requests(tracer: Tracer, route: str) -> Callable[[Endpoint], Endpoint]:
    """Decorates the endpoint of a POST. Where tracing is off it stays what it is."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        if not tracer.is_on:
            return endpoint

        @wraps(endpoint)
        async def answer(request: Request) -> Response:
            span = tracer.begin(f"POST {route}", Kind.SERVER, parse(request.headers.get(TRACEPARENT)))
            if span is None:
                return await endpoint(request)
            span.set({METHOD: "POST", ROUTE: route})
            with run(span):
                try:
                    response = await endpoint(request)
                except Problem as problem:
                    span.set({STATUS: int(problem.status)})
                    raise
                span.set({STATUS: response.status_code})
                if response.status_code >= SERVER_ERROR:
                    span.fail(str(response.status_code))
                return response

        return answer

    return decorate
