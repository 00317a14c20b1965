"""Rows as dashboards count them: by slot, model and fallback; which were clicked; how many products."""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import Counter

from services.recommender.metrics import Metrics

CLICK_WITHIN_MS: Final = 30 * 60 * 1000  # a visit: what is clicked later was not clicked for its row
REMEMBERED_MAX: Final = 100_000  # rows that may still be clicked: about 250 bytes each
SHOWN_WITHIN_MS: Final = 60 * 60 * 1000
SLOTS_MAX: Final = 32  # pages name their slots as they like, and each name is a series of its own
OTHER: Final = "other"


class ShownRows:
    """Counts what was recorded as shown, and the first click into each row.

    A row is known where it was made, so of several recommenders, which all read all clicks, one counts each.
    After a restart clicks into the rows of before are not counted.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._rows: dict[str, tuple[float, Counter]] = {}  # in the order of their time
        self._products: dict[str, float] = {}  # likewise
        self._slots: set[str] = set()

    def show(
        self,
        recommendation_id: str,
        slot: str,
        model: str | None,
        fallback: str | None,
        products: Iterable[str],
    ) -> None:
        """A row was shown. `model` is the version that served, None without one."""
        now = self._clock()
        name, version = self._name(slot), model or "none"
        self._metrics.rows.labels(name, version, fallback or "none").inc()
        self._rows[recommendation_id] = (now, self._metrics.rows_clicked.labels(name, version))
        while len(self._rows) > REMEMBERED_MAX:
            del self._rows[next(iter(self._rows))]
        for product_id in products:
            self._products.pop(product_id, None)
            self._products[product_id] = now
        while next(iter(self._products.values()), now) < now - SHOWN_WITHIN_MS:
            del self._products[next(iter(self._products))]
        self._metrics.products_shown.set(len(self._products))

    def click(self, recommendation_id: str) -> None:
        """Somebody clicked into it: the first time counts, so what is told twice counts once."""
        shown = self._rows.pop(recommendation_id, None)
        if shown is not None and shown[0] >= self._clock() - CLICK_WITHIN_MS:
            shown[1].inc()

    def _name(self, slot: str) -> str:
        if slot not in self._slots:
            if len(self._slots) >= SLOTS_MAX:
                return OTHER
            self._slots.add(slot)
        return slot
