"""The Qdrant server, written in a thread of its own, in the order of the messages."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from schemas.points import PointVersion
from schemas.products import Product
from schemas.vectors import Vector
from services.embedder.metrics import Metrics

log = structlog.get_logger()

BATCH: Final = 256
PATIENCE_MAX_S: Final = 5.0


class QdrantRefuses(Exception):
    """A request that the server will refuse again; the text says what to do."""


Then = Callable[[], None]
OnVersions = Callable[[dict[str, PointVersion]], None]


class Collection(Protocol):
    """A product collection; `services.qdrant.ProductCollection` is one. Calls block."""

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces."""

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes."""

    def count(self) -> int:
        """Products in the collection."""

    def versions(self) -> dict[str, PointVersion]:
        """By product, which state of it is there."""


class _Change:
    __slots__ = ("product", "product_id", "then")

    def __init__(self, product_id: str, product: tuple[Product, Vector] | None, then: Then) -> None:
        self.product_id = product_id
        self.product = product
        self.then = then


class ServerIndex:
    """Changes go in by `put`; `serve`, in the owner's thread, calls back those that the server has."""

    def __init__(self, open_collection: Callable[[], Collection], metrics: Metrics) -> None:
        self._open_collection = open_collection
        self._metrics = metrics
        self._changes: SimpleQueue[_Change] = SimpleQueue()
        self._done: SimpleQueue[Then] = SimpleQueue()
        self._looks: SimpleQueue[OnVersions] = SimpleQueue()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="qdrant", daemon=True)
        self.products: int | None = None  # in the collection when it was opened; None until it answers

    def start(self) -> None:
        """Connects, and starts writing; returns at once."""
        self._thread.start()

    def put(self, product_id: str, product: tuple[Product, Vector] | None, then: Then) -> None:
        """A product with its vector, or None where it is gone; `then` is called when the server has it."""
        self._changes.put(_Change(product_id, product, then))

    def look(self, then: OnVersions) -> None:
        """`then` is called, by `serve`, with what the server has; changes may be under way meanwhile."""
        self._looks.put(then)

    def serve(self) -> None:
        """Calls back. Raises what ended the thread: LayoutMismatch, or QdrantRefuses for what it refuses."""
        if self._failure is not None:
            raise self._failure
        try:
            while True:
                self._done.get_nowait()()
        except Empty:
            return

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the batch under way."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        retrying = Retrying(
            wait=wait_exponential_jitter(multiplier=0.2, max=PATIENCE_MAX_S, jitter=0.2),
            retry=retry_if_exception(lambda error: _may_pass(error) and not self._stopping.is_set()),
            before_sleep=_log_failure,
            sleep=self._rest,
            reraise=True,
        )
        try:
            collection = retrying(self._open_collection)
            self.products = retrying(collection.count)
            while not self._stopping.is_set():
                if not self._looks.empty():
                    self._done.put(partial(self._looks.get(), retrying(collection.versions)))
                if batch := self._batch():
                    retrying(self._write, collection, batch)
                    for change in batch:
                        self._done.put(change.then)
        except BaseException as error:  # noqa: BLE001 - handed to the owner, who ends the process
            self._failure = _explain(error)

    def _rest(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _batch(self) -> list[_Change]:
        """What has come in; waits a moment for the first."""
        batch: list[_Change] = []
        try:
            batch.append(self._changes.get(timeout=0.1))
            while len(batch) < BATCH:
                batch.append(self._changes.get_nowait())
        except Empty:
            pass
        return batch

    def _write(self, collection: Collection, batch: list[_Change]) -> None:
        started = time.perf_counter()
        newest = {change.product_id: change.product for change in batch}
        collection.upsert([product for product in newest.values() if product is not None])
        collection.remove([product_id for product_id, product in newest.items() if product is None])
        self._metrics.stage_seconds.labels("qdrant").observe(time.perf_counter() - started)


def _may_pass(error: BaseException) -> bool:
    """Whether a failure is the server's or the network's, and may be gone at the next attempt."""
    # Where no server is used, nobody waits a second for its client.
    from services.qdrant_failures import may_pass  # noqa: PLC0415

    return may_pass(error)


def _explain(error: BaseException) -> BaseException:
    from services.qdrant_failures import FAILURES, describe  # noqa: PLC0415

    return QdrantRefuses(describe(error)) if isinstance(error, FAILURES) else error


def _log_failure(state: RetryCallState) -> None:
    from services.qdrant_failures import describe  # noqa: PLC0415

    error = state.outcome.exception() if state.outcome else None
    told = "" if error is None else describe(error)
    log.warning("Qdrant does not take the products, trying again", error=told)
