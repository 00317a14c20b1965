"""POST /v1/words: the vectors of a shopper's words, for services that have no models. Not for the public."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from schemas.vectors import Layout, pack
from schemas.words import MEDIA_TYPE, PATH, WordVectors, decode_request, encode_answer
from services.embedder.metrics import Metrics
from services.embedder.models.port import PictureModel, TextModel
from services.web import problems
from services.web.problems import Problem
from services.web.requests import TooLarge

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


log = structlog.get_logger()

BODY_MAX: Final = 256 * 1024  # 64 texts of 200 characters are 150 KB when every one of them is escaped
DROPPED_MAX: Final = 8 << 20  # read and thrown away, so that the client gets to read why
PATIENCE_S: Final = 5.0  # clients give up sooner
THREADS: Final = 2  # requests in the models at a time; more would hold up each other, and the products
STARTING_S: Final = 2  # what Retry-After says meanwhile
BUSY_S: Final = 1


class BadRequest(Problem):
    """What came is no request."""

    status = HTTPStatus.BAD_REQUEST
    kind = "bad-request"


class NotPost(Problem):
    """The path is asked by POST alone."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    kind = "method-not-allowed"


class InvalidTexts(Problem):
    """A JSON document that is not what is asked for."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "invalid-request"


class NotYet(Problem):
    """The models are being loaded, or too many ask."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "not-ready"

    def __init__(self, detail: str, retry_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_s)})


Encode = Callable[[Sequence[str]], WordVectors]


def encoder(text: TextModel, pictures: PictureModel, layout: Layout) -> Encode:
    """Texts into the vectors of both models."""
    models = {"text": text.identity, "caption": pictures.identity}

    def encode(texts: Sequence[str]) -> WordVectors:
        return WordVectors(
            layout.id,
            models,
            [pack(vector) for vector in text.encode(texts)],
            [pack(vector) for vector in pictures.encode_captions(texts)],
        )

    return encode


class WordsApp:
    """A WSGI application; it answers 503 until `use` has given it models.

    The models run in few threads that live as long as the app: torch keeps a team of cores for every thread
    that calls it. No request waits for a batch of products, which has threads of its own.
    """

    def __init__(self, metrics: Metrics, patience_s: float = PATIENCE_S) -> None:
        self._metrics = metrics
        self._patience_s = patience_s
        self._encode: Encode | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="words")

    def use(self, encode: Encode) -> None:
        """From now on requests are answered. The first texts take longest: some are encoded before."""
        encode(["words"])
        self._encode = encode

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response)
        except Problem as problem:
            return _respond(problem, start_response)
        except OSError as error:  # it sends nothing more, or is gone
            return _respond(BadRequest(f"the body did not come: {error}"), start_response)
        except Exception:
            log.exception("words could not be encoded")
            return _respond(Problem("an error of ours, written to the service's log"), start_response)

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST":
            raise NotPost('send POST with {"texts": ["…"]}', headers={"Allow": "POST"})
        texts = _texts(_body(environ))
        with self._metrics.words_seconds.time():
            answer = encode_answer(self._vectors(texts))
        self._metrics.words.inc(len(texts))
        start_response("200 OK", [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(answer)))])
        return [answer]

    def _vectors(self, texts: Sequence[str]) -> WordVectors:
        if self._encode is None:
            raise NotYet("the models are being loaded", STARTING_S)
        made = self._pool.submit(self._encode, texts)
        try:
            return made.result(self._patience_s)
        except TimeoutError:
            made.cancel()
            raise NotYet("too many requests wait for the models", BUSY_S) from None


def _body(environ: "WSGIEnvironment") -> bytes:
    """The request's body. Raises BadRequest, TooLarge and OSError."""
    said = environ.get("CONTENT_LENGTH") or ""
    if not said.isascii() or not said.isdigit():
        raise BadRequest("the request needs a Content-Length; a body in chunks is not read")
    length, body = int(said), environ["wsgi.input"]
    if length > BODY_MAX:
        left = min(length, DROPPED_MAX)
        while left > 0 and (part := body.read(min(left, BODY_MAX))):
            left -= len(part)
        raise TooLarge(f"{length} bytes, {BODY_MAX} at most: ask for fewer texts at a time")
    raw: bytes = body.read(length)
    if len(raw) < length:
        raise BadRequest(f"{len(raw)} of {length} bytes came")
    return raw


def _texts(raw: bytes) -> list[str]:
    try:
        return decode_request(raw).texts
    except msgspec.ValidationError as error:
        raise InvalidTexts(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f'no JSON such as {{"texts": ["red shoes"]}}: {error}') from None


def _respond(problem: Problem, start_response: "StartResponse") -> Iterable[bytes]:
    status = problem.status
    body = problems.document(status, problem.kind, problem.detail, instance=PATH)
    headers = {"Content-Type": problems.MEDIA_TYPE, "Content-Length": str(len(body))} | problem.headers
    start_response(f"{status.value} {status.phrase}", list(headers.items()))
    return [body]
