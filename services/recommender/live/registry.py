"""All open sockets: whom a session's or a product's change concerns."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Final
from weakref import WeakValueDictionary

from schemas.live import COMPLEMENTS, Slot
from services.recommender.live.protocol import LiveSubscription
from services.recommender.metrics import Metrics
from services.recommender.pipeline.request import RecommendationResult
from services.recommender.visitor_sessions import PublishedSession

Place = tuple[LiveSubscription, str]  # a socket and the name of one of its slots

SOCKETS_MAX: Final = 16  # of one visitor: more tabs than a shopper looks at
NOTHING: Final[frozenset[str]] = frozenset()


class SubscriptionRegistry:
    """Sockets by visitor, and the slots that show a product."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._of_visitor: defaultdict[str, set[LiveSubscription]] = defaultdict(set)
        self._showing: defaultdict[str, set[Place]] = defaultdict(set)
        self._products_of: defaultdict[LiveSubscription, dict[str, frozenset[str]]] = defaultdict(dict)
        self._short: set[Place] = set()
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    def of_visitor(self, visitor_id: str) -> Collection[LiveSubscription]:
        """The visitor's open sockets."""
        return self._of_visitor.get(visitor_id, ())

    def lock(self, visitor_id: str) -> asyncio.Lock:
        """What the visitor's sockets compute one after the other under, so that they can share it."""
        return self._locks.setdefault(visitor_id, asyncio.Lock())

    def is_full(self, visitor_id: str) -> bool:
        """Whether the visitor has as many sockets as it may have."""
        return len(self.of_visitor(visitor_id)) >= SOCKETS_MAX

    def add(self, subscriber: LiveSubscription) -> None:
        """The socket is told of changes from here on."""
        self._of_visitor[subscriber.visitor_id].add(subscriber)
        self._metrics.sockets.inc()

    def remove(self, subscriber: LiveSubscription) -> None:
        """The socket, which was added, is closed."""
        self._metrics.sockets.dec()
        here = self._of_visitor[subscriber.visitor_id]
        here.discard(subscriber)
        if not here:
            del self._of_visitor[subscriber.visitor_id]
        for slot_name in list(self._products_of.get(subscriber, ())):
            self._show((subscriber, slot_name), NOTHING)
            self._short.discard((subscriber, slot_name))
        self._products_of.pop(subscriber, None)

    def record_row(self, subscriber: LiveSubscription, slot: Slot, made: RecommendationResult) -> None:
        """A socket is about to show these products in this slot, and no longer those before."""
        if subscriber not in self._of_visitor.get(subscriber.visitor_id, ()):
            return  # it has left while its row was made
        place = (subscriber, slot.name)
        products = frozenset(item.product_id for item in made.row)
        # A row of similar products also depends on the product that they are similar to, and a page may know
        # a product before we do.
        about = [slot.product_id] if slot.product_id else []
        self._show(place, products.union(slot.product_ids, about, made.absent))
        # What goes with a product is known, also what of it is sold out: such a row waits for nothing else.
        may_fill = slot.kind not in COMPLEMENTS and slot.kind != "products"
        is_short = len(made.row) < slot.k and may_fill
        (self._short.add if is_short else self._short.discard)(place)

    def _show(self, place: Place, products: frozenset[str]) -> None:
        subscriber, slot_name = place
        before = self._products_of[subscriber].get(slot_name, NOTHING)
        for product_id in before - products:
            self._showing[product_id].discard(place)
            if not self._showing[product_id]:
                del self._showing[product_id]
        for product_id in products - before:
            self._showing[product_id].add(place)
        self._products_of[subscriber][slot_name] = products

    def session_changed(self, visitor_id: str, published: PublishedSession) -> None:
        """To every socket of the visitor."""
        for subscriber in self._of_visitor.get(visitor_id, ()):
            subscriber.session_changed(published)

    def visitor_erased(self, visitor_id: str) -> None:
        """To every socket of the visitor: its token is good no more."""
        for subscriber in self._of_visitor.get(visitor_id, ()):
            subscriber.erase()

    def all_changed(self) -> None:
        """To every slot there is: the shop's rules or experiments are others."""
        for subscriber in self._everyone():
            subscriber.slots_changed()

    def popular_changed(self) -> None:
        """To slots that show what is popular."""
        for subscriber in self._everyone():
            subscriber.slots_changed("popular")

    def _everyone(self) -> Iterator[LiveSubscription]:
        for here in self._of_visitor.values():
            yield from here

    def product_changed(self, product_id: str) -> None:
        """To every slot that shows the product, and to those whose row is not full."""
        for subscriber, slot_name in (*self._showing.get(product_id, ()), *self._short):
            subscriber.products_changed(slot_name)
