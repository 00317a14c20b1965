"""What becomes of each message of `products`: published at once, after a model had it, or not at all.

Pure: no I/O and no clock of its own. Whoever drives it does the effects that it answers with, in order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Final, NamedTuple

from cachetools import TTLCache

from schemas import products, vectors
from schemas.products import Product
from schemas.vectors import ProductVectors
from services.embedder.embedding import Order
from services.embedder.recipe import MODEL_SEGMENTS, Recipe, Segment


class Place(NamedTuple):
    """Where a message of `products` lies."""

    partition: int
    offset: int


class Ledger:
    """Counts what is still to happen for each message; messages may be finished in any order."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, int]] = {}  # partition → offset, ascending → effects to come
        self._next: dict[int, int] = {}  # partition → the offset after the last message seen
        self._told: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(len(offsets) for offsets in self._open.values())

    def open(self, place: Place) -> None:
        """A message was read; that it is dealt with is the first effect to come."""
        self._open.setdefault(place.partition, {})[place.offset] = 1
        self._next[place.partition] = place.offset + 1

    def expect(self, place: Place) -> None:
        """One more effect of the message is to come."""
        self._open[place.partition][place.offset] += 1

    def fulfil(self, place: Place) -> None:
        """One effect has arrived; after the last the message is done."""
        offsets = self._open[place.partition]
        offsets[place.offset] -= 1
        if offsets[place.offset] == 0:
            del offsets[place.offset]

    def committable(self) -> dict[int, int]:
        """By partition, the offset to commit; only what has changed since the last call."""
        news = {}
        for partition, after in self._next.items():
            offset = next(iter(self._open[partition]), after)
            if self._told.get(partition) != offset:
                self._told[partition] = news[partition] = offset
        return news


FAILURES_MAX: Final = 100_000
RETRIED_AT_ONCE: Final = 256  # pictures, so that retries never fill the room that new products need
AGAIN_S: Final = 1.0  # a product that is under way when its picture is due is looked at again so soon


@dataclass(frozen=True, slots=True)
class Publish:
    """A message on `product-vectors`; None is a tombstone. `place`: the message whose effect it is."""

    product_id: str
    vectors: ProductVectors | None
    raw: bytes | None
    outcome: str
    place: Place | None


@dataclass(frozen=True, slots=True)
class SendToDlq:
    """A dead letter: the message as it came, and why."""

    key: bytes | None
    raw: bytes | None
    reason: str
    stage: str
    place: Place | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A message is dealt with, but for the effects given so far. `outcome` is None where they tell it."""

    place: Place
    outcome: str | None = None


Effect = Publish | SendToDlq | Acknowledge


@dataclass(frozen=True, slots=True, eq=False)
class IncomingProduct:
    """A product, as it was read. Without a place it was read from `product-vectors`, to be made anew.

    `attempts`: more than one for a dead letter that was put back.
    """

    product: Product
    raw: bytes
    place: Place | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class _PictureRetry:
    """A picture whose host was away: so many tries so far, the next at `due` (seconds of the timer)."""

    address: str
    tries: int
    due: float


class Catalogue:
    """The products with vectors, those that wait for a model, and those that a model has.

    Of two messages about a product the newest `updated_at` counts, of equal ones the later. A product that
    waits is still published at once with its newest fields, if it has vectors; what is being made anew keeps
    its former vector until then.
    """

    def __init__(
        self, recipe: Recipe, *, picture_retry_s: float, timer: Callable[[], float], picture_retries: int = 0
    ) -> None:
        self._recipe = recipe
        self._timer = timer
        self._retry_s = picture_retry_s
        self._retries_max = picture_retries
        self._retries: dict[str, _PictureRetry] = {}
        self._due: list[
            tuple[float, str]
        ] = []  # a heap; what is no longer so in `_retries` counts for nothing
        self._known: dict[str, bytes] = {}  # as published, a fifth of the memory of the unpacked structs
        self._waiting: dict[str, IncomingProduct] = {}
        self._running: dict[str, tuple[IncomingProduct, Order]] = {}
        self._failed: TTLCache[tuple[str, str], bool] = TTLCache(FAILURES_MAX, picture_retry_s, timer)
        self.waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def waiting(self) -> int:
        """Products that wait for a model or are with one."""
        return len(self._waiting) + len(self._running)

    @property
    def pictures_to_retry(self) -> int:
        """Pictures whose hosts were away, which are tried again."""
        return len(self._retries)

    def know(self, product_id: str, raw: bytes | None) -> None:
        """Takes a message of `product-vectors`. Raises LayoutMismatch for vectors of another layout."""
        if raw is None:
            self._known.pop(product_id, None)
            return
        self._recipe.layout.require(vectors.decode(raw).layout, "the topic product-vectors")
        self._known[product_id] = raw

    def __contains__(self, product_id: str) -> bool:
        return product_id in self._known

    def is_newest(self, product_id: str, raw: bytes | None) -> bool:
        """Whether this message of `product-vectors` (None: the tombstone) is the last about the product."""
        return self._known.get(product_id) == raw

    def vectors_of(self, product_ids: Iterable[str]) -> Iterable[ProductVectors]:
        """Those of these products that have vectors."""
        return filter(None, map(self._vectors, product_ids))

    def make_anew(self, product_ids: Iterable[str]) -> int:
        """Lets those wait for a model whose vectors another model or recipe made; answers how many.

        A segment that is missing is not made up for: its picture could not be had. Where that was because its
        host was away it is tried again, as often as is left.
        """
        before = len(self._waiting)
        for known in self.vectors_of(product_ids):
            if known.picture_tries and known.product.image_url:
                self._schedule_retry(known.product, known.picture_tries)
            wanted = self._recipe.hashes(known.product)
            if any(known.hashes.get(name, wanted[name]) != wanted[name] for name in wanted):
                self._wait(IncomingProduct(known.product, products.encode(known.product), None))
        return len(self._waiting) - before

    def take(self, taken: IncomingProduct) -> list[Effect]:
        """A message about a product."""
        product_id = taken.product.product_id
        if taken.product.updated_at < self._newest_update(product_id):
            return _acknowledge(taken, "older")
        if taken.attempts > 1 and taken.product.image_url:  # whoever put it back has mended the picture
            self._failed.pop((product_id, taken.product.image_url), None)
        effects: list[Effect] = []
        if former := self._unwait(product_id):
            effects += _acknowledge(former, "older")
        effects += self._decide(taken, {}, failed=False)
        if product_id not in self._waiting and product_id in self._running:
            # Nothing is left to make: what a model is making of an older message is not waited for.
            effects += _acknowledge(self._running.pop(product_id)[0], "older")
        return effects

    def remove(self, product_id: str, place: Place | None) -> list[Effect]:
        """A tombstone; without a place one that was never read, of a product that is gone all the same."""
        effects: list[Effect] = []
        former = self._unwait(product_id)
        running = self._running.pop(product_id, None)
        for superseded in filter(None, (former, running and running[0])):
            effects += _acknowledge(superseded, "older")
        self._known.pop(product_id, None)
        self._retries.pop(product_id, None)
        effects.append(Publish(product_id, None, None, "removed", place))
        return effects if place is None else [*effects, Acknowledge(place)]

    def orders(self, most: int) -> list[Order]:
        """Up to so many products for the models, longest waiting first."""
        chosen: list[Order] = []
        for product_id in list(self._waiting):
            if len(chosen) >= most:
                break
            if product_id in self._running:
                continue
            taken = self._unwait(product_id)
            assert taken is not None
            wanted = self._recipe.hashes(taken.product)
            needs = _needs(wanted, self._segments(product_id), failed=self._has_failed(taken))
            former = self._retries.get(product_id)
            tries = former.tries if former and former.address == taken.product.image_url else 0
            order = Order(taken.product, needs, tries=tries)
            self._running[product_id] = (taken, order)
            chosen.append(order)
        return chosen

    def complete(self, order: Order) -> list[Effect]:
        """What the models made of a product; nothing, when it was superseded by a tombstone meanwhile."""
        product_id = order.product.product_id
        taken, running = self._running.get(product_id, (None, None))
        if taken is None or running is not order:
            return []
        del self._running[product_id]
        effects: list[Effect] = []
        if "image" in order.needs:
            self._retries.pop(product_id, None)
        if order.refusal is not None:
            if order.product.image_url:
                self._failed[product_id, order.product.image_url] = True
            again = order.refusal.may_pass and order.tries < self._retries_max
            if again:
                self._schedule_retry(order.product, order.tries + 1)
            if not (again and order.tries):  # the first failure is told, and the last
                key = product_id.encode()
                reason = f"{order.refusal}; it is tried again by itself" if again else str(order.refusal)
                effects.append(SendToDlq(key, taken.raw, reason, "picture", taken.place, taken.attempts))
        wanted = self._recipe.hashes(order.product)
        made = {
            name: self._recipe.segment(name, wanted[name], vector) for name, vector in order.vectors.items()
        }
        newest = self._unwait(product_id)
        if newest is not None:
            effects += _acknowledge(taken, "older")
        same = newest is None or newest.product.image_url == order.product.image_url
        return effects + self._decide(newest or taken, made, failed=order.refusal is not None and same)

    def retry_pictures(self) -> None:
        """Lets products wait for a model whose picture is due to be tried again."""
        now = self._timer()
        while self._due and self._due[0][0] <= now and len(self._waiting) < RETRIED_AT_ONCE:
            due, product_id = heappop(self._due)
            retry, known = self._retries.get(product_id), self._vectors(product_id)
            if retry is None or retry.due != due:
                continue
            if known is None or known.product.image_url != retry.address:
                del self._retries[product_id]
            elif product_id in self._waiting or product_id in self._running:
                self._schedule(product_id, replace(retry, due=now + AGAIN_S))
            else:
                self._failed.pop((product_id, retry.address), None)
                self._wait(IncomingProduct(known.product, products.encode(known.product), None))

    def _schedule_retry(self, product: Product, tries: int) -> None:
        """After so many tries: the pause doubles with each."""
        due = self._timer() + self._retry_s * 2 ** (tries - 1)
        self._schedule(product.product_id, _PictureRetry(product.image_url or "", tries, due))

    def _schedule(self, product_id: str, retry: _PictureRetry) -> None:
        self._retries[product_id] = retry
        heappush(self._due, (retry.due, product_id))

    def _decide(self, taken: IncomingProduct, made: dict[str, Segment], *, failed: bool) -> list[Effect]:
        """Published with all its segments; or waiting, and published with those that there are."""
        product, product_id = taken.product, taken.product.product_id
        wanted = self._recipe.hashes(product)
        segments = self._segments(product_id)
        segments |= {name: each for name, each in made.items() if wanted.get(name) == each.hash}
        failed = failed or self._has_failed(taken)
        needs = _needs(wanted, segments, failed=failed)
        if needs:
            self._wait(taken)
            if product_id not in self._known:
                return []
        kept = {name: each for name, each in segments.items() if name in wanted}
        if failed and kept.get("image") and kept["image"].hash != wanted["image"]:
            del kept["image"]  # the former picture
        retry = self._retries.get(product_id)
        tries = retry.tries if retry and retry.address == product.image_url and "image" not in kept else 0
        segments = kept | self._recipe.without_model(product, wanted, kept)
        message = self._recipe.assemble(product, segments, tries)
        raw = vectors.encode(message)
        if raw == self._known.get(product_id):
            return [] if needs else _acknowledge(taken, "unchanged")
        self._known[product_id] = raw
        if needs:
            return [Publish(product_id, message, raw, "interim", None)]
        published = Publish(product_id, message, raw, "published", taken.place)
        return [published] if taken.place is None else [published, Acknowledge(taken.place)]

    def _has_failed(self, taken: IncomingProduct) -> bool:
        address = taken.product.image_url
        return address is not None and (taken.product.product_id, address) in self._failed

    def _vectors(self, product_id: str) -> ProductVectors | None:
        raw = self._known.get(product_id)
        return None if raw is None else vectors.decode(raw)

    def _segments(self, product_id: str) -> dict[str, Segment]:
        known = self._vectors(product_id)
        return {} if known is None else self._recipe.split(known)

    def _newest_update(self, product_id: str) -> int:
        """Of the newest message about a product so far."""
        if product_id in self._waiting:
            return self._waiting[product_id].product.updated_at
        known = self._vectors(product_id)
        times = [known.product.updated_at] if known else []
        if product_id in self._running:
            times.append(self._running[product_id][0].product.updated_at)
        return max(times, default=0)

    def _wait(self, taken: IncomingProduct) -> None:
        self._waiting[taken.product.product_id] = taken
        self.waiting_bytes += len(taken.raw)

    def _unwait(self, product_id: str) -> IncomingProduct | None:
        taken = self._waiting.pop(product_id, None)
        self.waiting_bytes -= len(taken.raw) if taken else 0
        return taken


def _needs(wanted: dict[str, str], segments: dict[str, Segment], *, failed: bool) -> frozenset[str]:
    """The segments that a model has to make; not the image where that has just failed."""
    return frozenset(
        name
        for name in MODEL_SEGMENTS
        if name in wanted
        and not (name == "image" and failed)
        and (name not in segments or segments[name].hash != wanted[name])
    )


def _acknowledge(taken: IncomingProduct, outcome: str) -> list[Effect]:
    return [] if taken.place is None else [Acknowledge(taken.place, outcome)]
