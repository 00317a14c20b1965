"""Products through the models, several batches at a time, while the pictures of the next are made ready."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from schemas.products import Product
from schemas.vectors import Vector
from services.embedder.errors import PictureRefused, Unreadable
from services.embedder.metrics import Metrics
from services.embedder.models.port import PictureModel, Pixels, TextModel
from services.embedder.recipe import sources, text_of

AHEAD: Final = 4  # batches whose pictures are made ready while the models work
QUEUED_MAX: Final = 4096  # products whose picture's host has no place for them, in memory besides
SHARE_LEAST: Final = 16  # fewer would cost more than sharing gains


class PicturePreparer(Protocol):
    """What makes pictures ready; `services.embedder.pictures.prepare.Preparation` does."""

    def start(self, address: str) -> "Future[Pixels]":
        """The picture at this address, as the model wants it; its exception may be PictureRefused."""

    @property
    def queued(self) -> int:
        """Pictures that wait for a place at their host."""

    def close(self) -> None:
        """Drops what has not begun; waits for nothing."""


@dataclass(slots=True, eq=False)
class Order:
    """A product, which model segments it needs, and, once the models had it, what came of it.

    `tries`: how often its picture could not be had before.
    """

    product: Product
    needs: frozenset[str]
    vectors: dict[str, Vector] = field(default_factory=dict)
    refusal: PictureRefused | None = None
    picture: "Future[Pixels] | None" = None
    tries: int = 0


class Embedder:
    """The models, and `workers` threads that each take a batch through all of them.

    Several batches with a core each are faster than one batch on all cores: nobody waits for the slowest
    core at every layer, least of all where other processes take some of them. `submit` and `collect` are
    for one owner; between them up to `room` orders are under way.
    """

    def __init__(
        self,
        text: TextModel,
        pictures: PictureModel,
        preparation: PicturePreparer,
        *,
        batch: int,
        workers: int,
        metrics: Metrics,
    ) -> None:
        self._text = text
        self._pictures = pictures
        self._preparation = preparation
        self._batch = batch
        self._most = (workers + AHEAD) * batch
        self._metrics = metrics
        self._changed = threading.Condition()
        self._new: deque[Order] = deque()
        self._open: list[Order] = []  # the words are done, the picture was not ready
        self._done: SimpleQueue[Order | None] = SimpleQueue()
        self._under_way = 0
        self._stopping = False
        self._failure: BaseException | None = None
        self._workers = [
            threading.Thread(target=self._run, name=f"models-{number}", daemon=True)
            for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def room(self) -> int:
        """How many more orders may be submitted now.

        Those that wait for a place at a host count only when there are very many: other products go on.
        """
        return self._most - self._under_way + min(self._preparation.queued, QUEUED_MAX)

    def submit(self, orders: Sequence[Order]) -> None:
        """Starts on these orders; returns at once."""
        self._under_way += len(orders)
        for order in orders:
            if "image" in order.needs:
                order.picture = self._preparation.start(order.product.image_url or "")
                order.picture.add_done_callback(self._wake)
        with self._changed:
            self._new.extend(orders)
            self._changed.notify_all()

    def collect(self, timeout_s: float = 0.0) -> list[Order]:
        """The orders that are done by now; waits for the first. Raises what ended a worker."""
        done: list[Order] = []
        with suppress(Empty):
            order = self._done.get(timeout=timeout_s) if timeout_s else self._done.get_nowait()
            while order is not None:
                done.append(order)
                order = self._done.get_nowait()
        if self._failure is not None:
            raise self._failure
        self._under_way -= len(done)
        return done

    def embed(self, products: Sequence[Product], needs: frozenset[str]) -> list[Order]:
        """All these products, in the order in which they are done. Blocks."""
        waiting = deque(Order(product, needs & sources(product).keys()) for product in products)
        done: list[Order] = []
        while len(done) < len(products):
            self.submit([waiting.popleft() for _ in range(min(self.room, len(waiting)))])
            done += self.collect(timeout_s=1.0)
        return done

    def close(self, timeout_s: float = 3.0) -> None:
        """Drops what is not done; waits for the batches under way, but not for ever."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._preparation.close()
        for worker in self._workers:
            worker.join(timeout_s / len(self._workers))

    def _wake(self, _picture: "Future[Pixels]") -> None:
        with self._changed:
            self._changed.notify()

    # The workers

    def _run(self) -> None:
        try:
            while (taken := self._next()) is not None:
                batch, ready = taken
                self._encode_words(batch)
                self._encode_pictures(ready + self._with_picture(batch))
        except BaseException as error:  # noqa: BLE001 - handed to the owner, who ends the process
            self._failure = error
            self._done.put(None)  # wakes the owner

    def _next(self) -> tuple[list[Order], list[Order]] | None:
        """New orders, and open ones whose picture has come; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._new or any(map(_ready, self._open)))
            if self._stopping:
                return None
            batch = [self._new.popleft() for _ in range(self._share(len(self._new)))]
            return batch, self._take_ready()

    def _share(self, waiting: int) -> int:
        """A full batch while many wait; the last ones in smaller parts, so that all workers end together."""
        half = -(-waiting // (2 * len(self._workers)))
        return min(self._batch, waiting, max(half, SHARE_LEAST))

    def _take_ready(self) -> list[Order]:
        ready = [order for order in self._open if _ready(order)][: self._batch]
        chosen = set(map(id, ready))
        self._open = [order for order in self._open if id(order) not in chosen]
        return ready

    def _with_picture(self, batch: list[Order]) -> list[Order]:
        """Those of a batch that can go on; the others wait for their picture and hold up nobody."""
        ready: list[Order] = []
        later: list[Order] = []
        for order in batch:
            (ready if _ready(order) else later).append(order)
        with self._changed:
            self._open += later
        return ready

    def _encode_words(self, batch: list[Order]) -> None:
        """Texts and captions; meanwhile the pictures of the same products are being decoded."""
        texts = [order for order in batch if "text" in order.needs]
        captions = [order for order in batch if "caption" in order.needs]
        self._encode("text", texts, lambda: self._text.encode([text_of(each.product) for each in texts]))
        self._encode(
            "caption",
            captions,
            lambda: self._pictures.encode_captions([each.product.name for each in captions]),
        )

    def _encode_pictures(self, ready: list[Order]) -> None:
        seen = [order for order in ready if order.picture and _take_picture(order)]
        for start in range(0, len(seen), self._batch):
            part = seen[start : start + self._batch]
            pixels = [order.picture.result() for order in part if order.picture]
            self._encode("image", part, partial(self._pictures.encode_pictures, pixels))
        for order in ready:
            order.picture = None  # the pixels are not kept
            self._done.put(order)

    def _encode(self, segment: str, orders: list[Order], encode: Callable[[], Vector]) -> None:
        if not orders:
            return
        with self._metrics.stage_seconds.labels(segment).time():
            vectors = encode()
        for order, vector in zip(orders, vectors, strict=True):
            order.vectors[segment] = vector
        self._metrics.segments.labels(segment).inc(len(orders))


def _ready(order: Order) -> bool:
    return order.picture is None or order.picture.done()


def _take_picture(order: Order) -> bool:
    """Whether there is a picture to look at; a refusal is noted in the order."""
    assert order.picture is not None
    refusal = order.picture.exception()
    if refusal is None:
        return True
    if not isinstance(refusal, PictureRefused):  # a fault of ours, but this picture's alone
        refusal = Unreadable(f"the picture cannot be prepared: {type(refusal).__name__}: {refusal}")
    order.refusal = refusal
    return False
