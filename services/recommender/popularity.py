"""What visitors did with each product lately: counts of events that halve every so many hours. Pure."""

from collections.abc import Sequence
from heapq import nlargest
from math import exp2
from typing import Final

from schemas.sessions import SessionEvent
from services.model.behaviour import Behaviour
from services.model.session import SELECT_ITEM

PRODUCTS_MAX: Final = 500_000  # events name what they like, and a product's name costs some 200 bytes


class Popularity:
    """Product → Σ weight of type · 2^(−age / half-life).

    Counts events of `events` as they stand in the sessions: each once, whatever was sent twice or late; where
    `clicks_give_way` (services.model.session.Tuning), a click no more once something newer of its product is
    there. An event's age is counted back from any moment (forward decay, Cormode et al., ICDE 2009), so the
    order in which sessions come does not matter.
    """

    def __init__(
        self, half_life_ms: float, kind_weights: Sequence[float], *, clicks_give_way: bool = True
    ) -> None:
        self._per_ms = 1 / half_life_ms
        self._weights = kind_weights
        self._clicks_give_way = clicks_give_way
        self._masses: dict[str, tuple[int, float]] = {}  # product → (a time in Unix ms, its count then)

    def update(self, before: Sequence[SessionEvent], after: Sequence[SessionEvent]) -> bool:
        """Counts what of a visitor's events is new; what the session has forgotten stays counted."""
        # As a rule one event came, and the oldest may have been forgotten: then only these are compared.
        same = len(after) - 1
        if same >= 0 and before[len(before) - same :] == after[:-1]:
            before, after = before[: len(before) - same], after[-1:]
        known = {(event.identity, event.product_id) for event in before}
        new = [event for event in after if (event.identity, event.product_id) not in known]
        for event in new:
            # What was taken out of a cart is not less popular for it.
            if (weight := self._weights[event.kind]) > 0:
                self._add(event.product_id, event.occurred_at, weight)
        if self._clicks_give_way:
            self._take_back(before, after)
        return bool(new)

    def _take_back(self, before: Sequence[SessionEvent], after: Sequence[SessionEvent]) -> None:
        """Clicks that gave way to something newer of their product: both are one interest."""
        clicks = [event for event in before if event.kind == SELECT_ITEM]
        if not clicks or (weight := self._weights[SELECT_ITEM]) <= 0:
            return
        newest = {event.product_id: event for event in after}
        for click in clicks:
            if (newer := newest.get(click.product_id)) is not None and newer > click:
                self._add(click.product_id, click.occurred_at, -weight)

    def _add(self, product_id: str, at: int, weight: float) -> None:
        since, mass = self._masses.get(product_id, (at, 0.0))
        newest = max(since, at)
        total = mass * exp2((since - newest) * self._per_ms) + weight * exp2((at - newest) * self._per_ms)
        self._masses[product_id] = (newest, max(total, 0.0))

    def counts(self, now: float, model: Behaviour | None = None) -> dict[str, float]:
        """Of each product the count as it is at `now`, Unix ms.

        Events come of rows, too, and most from their first places: what a model has learned of how products
        do where they are seen corrects that.
        """
        factor = model.popularity_factor if model is not None else lambda _product_id: 1.0
        if len(self._masses) > PRODUCTS_MAX:
            self._keep_greatest(now)
        return {
            product_id: mass * exp2(min(since - now, 0.0) * self._per_ms) * factor(product_id)
            for product_id, (since, mass) in self._masses.items()
        }

    def _keep_greatest(self, now: float) -> None:
        """Half of what is allowed, so that this is done seldom."""

        def count_now(each: tuple[str, tuple[int, float]]) -> float:
            since, mass = each[1]
            return mass * exp2(min(since - now, 0.0) * self._per_ms)

        self._masses = dict(nlargest(PRODUCTS_MAX // 2, self._masses.items(), key=count_now))
