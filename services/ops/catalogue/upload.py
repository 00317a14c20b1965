"""Sends batches to ingest's HTTP API: retried until accepted, several at a time, never faster than asked."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying

from schemas import events, products
from services.ops.services import (
    Unanswered,
    asking_ingest,
    batches,
    bearer,
    patience,
    require_time,
    run_together,
)
from services.ops.settings import OpsSettings

BATCH: Final = 500
TIMEOUT_S: Final = 30.0
IN_FLIGHT: Final = 4  # batches; more only queue up in ingest
RETRY_FOR_S: Final = 120.0
SHOWN_REASONS: Final = 5

M = TypeVar("M", bound=msgspec.Struct)


class Summary(msgspec.Struct):
    """What became of a file. `reasons` are the first few refusals.

    `skipped` had been acknowledged before and were not sent again. `ignored` are older than what is there;
    `outdated` names the first few. `odd` counts what `catalogue check` tells of the rows that were taken.
    `sold_out` and `deleted` are no longer in a full feed; `kept` are not either, but changed after it.
    """

    file: str
    mapping: str
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    left_out: int = 0
    ignored: int = 0
    odd: int = 0
    sold_out: int = 0
    deleted: int = 0
    kept: int = 0
    reasons: list[str] = []
    outdated: list[str] = []
    seconds: float = 0.0

    def refuse(self, reason: str) -> None:
        """Counts a refusal."""
        self.rejected += 1
        if len(self.reasons) < SHOWN_REASONS:
            self.reasons.append(reason)

    def ignore(self, reason: str) -> None:
        """Counts an entry that is older than what is there."""
        self.ignored += 1
        if len(self.outdated) < SHOWN_REASONS:
            self.outdated.append(reason)


class _Rejected(msgspec.Struct):
    index: int
    reason: str


class _Answer(msgspec.Struct):
    accepted: int = 0
    rejected: list[_Rejected] = []
    ignored: list[_Rejected] = []


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


async def send(
    to: Endpoint,
    found: Iterator[M],
    summary: Summary,
    settings: OpsSettings,
    *,
    on_accepted: Callable[[list[M]], object],
    rate: float | None = None,
) -> None:
    """Sends all that is found; `rate` is in messages a second, None is as fast as it goes.

    `on_accepted` gets the messages that Kafka has, once for each batch that was answered. Raises Unanswered,
    and UnreadableFile before anything is sent; what was answered before stands in the summary.
    """
    first = next(found, None)  # an unreadable file is told before anything is sent
    source = chain([first], found) if first is not None else iter(())
    # A slow load goes out in small pieces: batches of a tenth of a second.
    size = BATCH if rate is None else max(1, min(BATCH, int(rate / 10)))
    paced = _Shared(batches(source, size, to.most_bytes), rate)
    url = settings.ingest_url
    headers = bearer(settings.api_key) | {"Content-Type": "application/json"}

    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:

        async def work() -> None:
            while (batch := await paced.next()) is not None:
                body = msgspec.json.encode({to.name: batch})
                retrying = AsyncRetrying(**patience(RETRY_FOR_S))
                answer: _Answer = await retrying(_send_batch, client, url, to, body, len(batch))
                summary.accepted += answer.accepted
                for refused in answer.rejected:
                    summary.refuse(f"{_id_of(batch[refused.index])}: {refused.reason}")
                for older in answer.ignored:
                    summary.ignore(f"{_id_of(batch[older.index])}: {older.reason}")
                not_taken = {each.index for each in (*answer.rejected, *answer.ignored)}
                on_accepted([each for place, each in enumerate(batch) if place not in not_taken])

        await run_together(IN_FLIGHT if rate is None else 1, work)


async def _send_batch(client: httpx.AsyncClient, url: str, to: Endpoint, body: bytes, count: int) -> _Answer:
    with asking_ingest(url):
        answer = await client.request(to.method, to.path, content=body)
    require_time(answer)  # the same ids can go again
    if answer.status_code in (202, 422):
        return msgspec.json.decode(answer.content, type=_Answer)
    if answer.status_code == 413 and count == 1:  # no smaller batch would do
        return _Answer(0, [_Rejected(0, f"is too large: {len(body)} bytes")])
    raise Unanswered(f"ingest answered {answer.status_code}: {answer.text}")


def _id_of(message: msgspec.Struct) -> str:
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
