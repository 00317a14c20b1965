"""A shopper's words as vectors, asked of an embedder over HTTP: this service has no models."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

import httpx
import msgspec
import numpy as np
import structlog
from cachetools import LRUCache
from prometheus_client import Counter, Histogram
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from schemas.vectors import Layout, LayoutMismatch, Vector, unpack
from schemas.words import PATH, TEXT_MAX, WordVectors, decode_answer, encode_request

log = structlog.get_logger()

KEPT: Final = 10_000  # texts; 2 KB each with the default models
REST_S: Final = 2.0  # after a failure it is asked once in so long: the other searches stay fast

# A connection that broke on the way. One that cannot be made is no better a moment later.
_NO_ANSWER: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    TimeoutError,
    msgspec.DecodeError,
    ValueError,
    RecursionError,
)
_BROKEN: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_REFUSED: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

State = Literal["there", "away", "another layout"]


@dataclass(frozen=True, slots=True, eq=False)
class WordVector:
    """Unit vectors: the text model's (text_width,), and one in the pictures' space (image_width,)."""

    text: Vector
    caption: Vector


def query_vector(layout: Layout, words: WordVector) -> Vector:
    """(width,) the words as a query without weights, for `Layout.weighted`.

    What products say is compared with the text model's vector; their pictures and their names with the vector
    in the space that pictures and words share. The other segments are zero, whatever weight they get.
    """
    query = np.zeros(layout.width, dtype=np.float32)
    query[layout.slices["text"]] = words.text
    query[layout.slices["image"]] = query[layout.slices["caption"]] = words.caption
    return query


class WordVectorClient:
    """An embedder's client that remembers. It never fails: without the embedder there are no vectors.

    All calls belong to one loop. `away` counts the texts that got no vectors, `seconds` the time that the
    embedder took. `url` is where an embedder answers, None for nowhere; the client is closed by `close`.
    """

    def __init__(
        self,
        url: str | None,
        layout: Layout,
        *,
        timeout_s: float,
        client: httpx.AsyncClient,
        away: Counter,
        seconds: Histogram,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{url.rstrip('/')}{PATH}" if url else None
        self._layout = layout
        self._timeout_s = timeout_s
        self._client = client
        self._away = away
        self._seconds = seconds
        self._clock = clock
        self._known: LRUCache[str, WordVector] = LRUCache(KEPT)
        self._asked: dict[str, asyncio.Task[WordVector | None]] = {}
        self._models: dict[str, str] = {}
        self._state: State = "there"
        self._again_at = 0.0

    async def vectors(self, text: str) -> WordVector | None:
        """The text's vectors, which are not to be written to; None when blank, or without an answer in time.

        Upper case and spacing make no other text, and only the first 200 characters count. One text that is
        asked for by several at a time is sent once, and goes on when one of them stops waiting.
        """
        words = _clean(text)
        if not words or self._url is None:
            return None
        key = words.casefold()
        found = self._known.get(key)
        if found is None and (asked := self._under_way(key, words, self._url)):
            await asyncio.wait([asked])
            found = None if asked.cancelled() else asked.result()
        if found is None:
            self._away.inc()
        return found

    async def close(self) -> None:
        """Ends what is under way (None for those who wait) and the client's connections."""
        for asked in list(self._asked.values()):
            asked.cancel()
        await self._client.aclose()

    def _under_way(self, key: str, words: str, url: str) -> "asyncio.Task[WordVector | None] | None":
        """The one request for this text, begun where need be; None while the embedder is left alone."""
        if (asked := self._asked.get(key)) is not None:
            return asked
        if self._state != "there":
            if self._clock() < self._again_at:
                return None
            self._again_at = self._clock() + REST_S  # this one tries, and the others go on without
        asked = self._asked[key] = asyncio.create_task(self._ask(key, words, url))
        asked.add_done_callback(lambda _asked: self._asked.pop(key, None))
        return asked

    async def _ask(self, key: str, words: str, url: str) -> WordVector | None:
        try:
            with self._seconds.time():
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._post(url, encode_request([words]))
            if answer.status_code in _REFUSED:
                log.warning("the embedder does not take these words", reason=answer.text[:500])
                return None
            found = self._read(decode_answer(answer.raise_for_status().content))
        except LayoutMismatch as mismatch:
            self._fail("another layout", str(mismatch))
        except _NO_ANSWER as error:
            self._fail("away", f"{type(error).__name__}: {error}")
        else:
            self._succeed()
            self._known[key] = found
            return found
        return None

    @retry(retry=retry_if_exception_type(_BROKEN), stop=stop_after_attempt(2), reraise=True)
    async def _post(self, url: str, body: bytes) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return await self._client.post(url, content=body, headers=headers, timeout=self._timeout_s)

    def _read(self, answer: WordVectors) -> WordVector:
        """The one text's vectors. Raises LayoutMismatch, and ValueError when it is not what was asked for."""
        self._layout.require(answer.layout, f"the embedder at {self._url}")
        if answer.models != self._models:  # it has other models than before: so will the products
            self._known.clear()
            self._models = answer.models
        [text], [caption] = answer.text, answer.caption
        return WordVector(self._segment("text", text), self._segment("caption", caption))

    def _segment(self, name: str, raw: bytes) -> Vector:
        vector = unpack(raw)
        span = self._layout.slices[name]
        if len(vector) != span.stop - span.start:
            raise ValueError(f"{len(vector)} components of `{name}`")
        vector.setflags(write=False)  # several searches share it
        return vector

    def _succeed(self) -> None:
        if self._state != "there":
            log.info("the embedder answers again", url=self._url)
        self._state = "there"

    def _fail(self, state: State, reason: str) -> None:
        self._again_at = self._clock() + REST_S
        if state != self._state:
            tell = log.error if state == "another layout" else log.warning
            tell("words get no vectors, searches go on without", url=self._url, reason=reason)
        self._state = state


def _clean(text: str) -> str:
    """As it is sent: single spaces, what the embedder takes, nothing that UTF-8 has no bytes for."""
    known = text.encode("utf-8", "replace").decode()
    return " ".join(known.split())[:TEXT_MAX].rstrip()
