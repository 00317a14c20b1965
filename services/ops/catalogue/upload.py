"""Sends batches to ingest's HTTP API: retried until accepted, several at a time, never faster than asked."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import httpx
import msgspec
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from schemas import events, products

IN_FLIGHT: Final = 4  # batches; more only queue up in ingest
RETRY_FOR_S: Final = 120.0
SHOWN_REASONS: Final = 5

M = TypeVar("M", bound=msgspec.Struct)


class IngestUnavailable(Exception):
    """Ingest could not be reached, or did not take a batch for two minutes."""


class Refused(Exception):
    """Ingest will not take this, however often it is sent; the text is its own."""


class _TryAgain(Exception):
    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass
class Tally:
    """What became of the messages; `reasons` holds the first few refusals.

    `skipped` had been acknowledged before and were not sent again.
    """

    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    left_out: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Counts a refusal."""
        self.rejected += 1
        if len(self.reasons) < SHOWN_REASONS:
            self.reasons.append(reason)


class _Rejected(msgspec.Struct):
    index: int
    reason: str


class _Answer(msgspec.Struct):
    accepted: int = 0
    rejected: list[_Rejected] = []


def batches(source: Iterable[M], size: int, most_bytes: int) -> Iterator[list[M]]:
    """The source in lists of at most `size` messages and `most_bytes` of JSON; a larger one goes alone."""
    batch: list[M] = []
    filled = 0
    for message in source:
        length = len(msgspec.json.encode(message)) + 1  # and a comma
        if batch and (len(batch) >= size or filled + length > most_bytes):
            yield batch
            batch, filled = [], 0
        batch.append(message)
        filled += length
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a batch goes, the name of its list in the body, and how much its messages may be together."""

    method: str
    path: str
    name: str
    most_bytes: int


FRAME_BYTES: Final = 1_000  # of the object around the list
EVENTS: Final = Endpoint("POST", "/v1/events", "events", events.MAX_BATCH_BYTES - FRAME_BYTES)
PRODUCTS: Final = Endpoint("PUT", "/v1/products", "products", products.MAX_BATCH_BYTES - FRAME_BYTES)


class Uploader:
    """One HTTP client with the shop's key."""

    def __init__(self, url: str, api_key: SecretStr | None) -> None:
        headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0)
        self._url = url

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def send_all(
        self,
        to: Endpoint,
        source: Iterable[Sequence[M]],
        tally: Tally,
        *,
        on_accepted: Callable[[list[M]], object],
        rate: float | None = None,
    ) -> None:
        """Sends every batch; `rate` is in messages a second, None is as fast as it goes.

        `on_accepted` gets the messages that Kafka has, once for each batch that was answered.
        Raises IngestUnavailable or Refused; what was answered before stands in the tally.
        """
        paced = _Shared(source, rate)
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT if rate is None else 1):
                group.create_task(self._worker(to, paced, tally, on_accepted))

    async def _worker(
        self, to: Endpoint, source: "_Shared[M]", tally: Tally, on_accepted: Callable[[list[M]], object]
    ) -> None:
        while (batch := await source.next()) is not None:
            answer = await self._send(to, msgspec.json.encode({to.name: batch}), len(batch))
            tally.accepted += answer.accepted
            for refused in answer.rejected:
                tally.refuse(f"{_named(batch[refused.index])}: {refused.reason}")
            refused_places = {refused.index for refused in answer.rejected}
            on_accepted([each for place, each in enumerate(batch) if place not in refused_places])

    async def _send(self, to: Endpoint, body: bytes, count: int) -> _Answer:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_delay(RETRY_FOR_S),
            wait=_as_told,
            reraise=True,
        ):
            with attempt:
                return await self._once(to, body, count)
        raise AssertionError("tenacity returns or raises")

    async def _once(self, to: Endpoint, body: bytes, count: int) -> _Answer:
        try:
            answer = await self._client.request(
                to.method, to.path, content=body, headers={"Content-Type": "application/json"}
            )
        except httpx.ConnectError as error:
            raise IngestUnavailable(
                f"no ingest answers at {self._url} ({error}): start it, or set EDDY_INGEST_URL"
            ) from error
        except httpx.TransportError as error:  # the connection broke: the same ids can go again
            raise _TryAgain(str(error)) from error
        if answer.status_code in (429, 502, 503, 504):
            raise _TryAgain(answer.text, float(answer.headers.get("Retry-After", 0)) or None)
        if answer.status_code in (202, 422):
            return msgspec.json.decode(answer.content, type=_Answer)
        if answer.status_code == 413 and count == 1:  # no smaller batch would do
            return _Answer(0, [_Rejected(0, f"is too large: {len(body)} bytes")])
        raise Refused(f"ingest answered {answer.status_code}: {answer.text}")


def _as_told(state: RetryCallState) -> float:
    """As long as ingest asks to wait, else longer and longer, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    after_s = error.after_s if isinstance(error, _TryAgain) else None
    return after_s or wait_random_exponential(multiplier=0.2, max=5.0)(state)


def _named(message: msgspec.Struct) -> str:
    return str(getattr(message, "event_id", None) or getattr(message, "product_id", None))


class _Shared(Generic[M]):
    """Hands batches to several workers, each once, and not before its time."""

    def __init__(self, source: Iterable[Sequence[M]], rate: float | None) -> None:
        self._source = iter(source)
        self._rate = rate
        self._started = time.monotonic()
        self._sent = 0

    async def next(self) -> Sequence[M] | None:
        batch = next(self._source, None)
        if batch is not None and self._rate is not None:
            due = self._started + self._sent / self._rate
            self._sent += len(batch)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return batch
