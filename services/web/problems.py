"""Errors of the HTTP APIs as RFC 9457 problem documents: exceptions carry the status, one place answers."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

MEDIA_TYPE: Final = "application/problem+json"
METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of every error. `type` names the kind of problem and never changes; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None


class Problem(Exception):
    """An error with an HTTP status. Subclasses name the kind; the text says what to do about it.

    `headers` go with the answer; `fields` are further members of the document.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    kind: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})


class NotAuthorised(Problem):
    """A token or key is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED
    kind = "not-authorised"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class BrokerAway(Problem):
    """Kafka did not acknowledge; the sender is to keep what it has and try again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "broker-away"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Kafka has not acknowledged all of it ({reason}): send the same again, "
            "what is written already counts once",
            headers={"Retry-After": "1"},
        )


class RefusedByKafka(Problem):
    """Kafka will never take these messages, by their place among what was sent; all others are written."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    kind = "refused-by-kafka"

    def __init__(self, refused: Mapping[int, str]) -> None:
        self.refused = {place: f"Kafka refuses it for good: {why}" for place, why in refused.items()}
        reason = next(iter(self.refused.values()), "")
        super().__init__(
            f"{reason}; {len(self.refused)} of the messages are not written, all others are. Do not send the "
            "same again: make them smaller, or raise max.message.bytes of the topic"
        )


# Called with the status of every problem answered, for a service's metrics.
OnProblem = Callable[[int], None]


def install(app: FastAPI, on_problem: OnProblem) -> None:
    """Makes every error of the app a problem document: its own, the router's, validation, and bugs."""
    # Coroutines all, though none awaits: Starlette would run plain functions in a thread.

    async def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        on_problem(error.status)
        return answer(request, error)

    async def of_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        on_problem(status)
        kind = status.phrase.lower().replace(" ", "-")
        headers = dict(error.headers or {})
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods_of(app, request))
        return _response(request, status, kind, str(error.detail), headers=headers)

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        on_problem(HTTPStatus.UNPROCESSABLE_ENTITY)
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return _response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", wrong)

    async def bug(request: Request, _error: Exception) -> Response:
        on_problem(Problem.status)
        return _response(
            request, Problem.status, Problem.kind, "an error of ours, written to the service's log"
        )

    async def disconnect(_request: Request, _error: Exception) -> Response:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # the client hung up: nobody reads this

    app.add_exception_handler(Problem, own)
    app.add_exception_handler(HTTPException, of_router)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(ClientDisconnect, disconnect)
    app.add_exception_handler(Exception, bug)


def _methods_of(app: FastAPI, request: Request) -> list[str]:
    """The methods of all routes with the request's path; the router names those of the first one only."""

    def is_allowed(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in app.router.routes)

    return list(filter(is_allowed, METHODS))


def answer(request: Request, problem: Problem) -> Response:
    """The problem as a response. The request's query stays out of it: it may hold a token."""
    return _response(
        request,
        problem.status,
        problem.kind,
        problem.detail,
        headers=problem.headers,
        fields=problem.fields,
    )


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request, or a socket's handshake, before any app is asked.

    A handshake is refused as a request is: the page waits longer and longer before it comes again.
    """
    if scope["type"] == "http":
        await answer(Request(scope), problem)(scope, receive, send)
        return
    await receive()
    body = document(problem.status, problem.kind, problem.detail, instance=scope["path"])
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": int(problem.status), "headers": raw})
    await send({"type": "websocket.http.response.body", "body": body})


def _response(
    request: Request,
    status: HTTPStatus,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, object] | None = None,
) -> Response:
    content = document(status, kind, detail, instance=request.url.path, fields=fields)
    return Response(content, status, headers, MEDIA_TYPE)


def document(
    status: HTTPStatus,
    kind: str,
    detail: str,
    *,
    instance: str,
    fields: Mapping[str, object] | None = None,
) -> bytes:
    """A problem document's JSON, for whatever kind of server answers with it."""
    told = ProblemDocument(
        type=f"urn:eddy:problem:{kind}",
        title=status.phrase,
        status=status,
        detail=detail,
        instance=instance,
    )
    return msgspec.json.encode(msgspec.to_builtins(told) | dict(fields or {}))
