"""How a row came about, for who builds a page or looks for what is missing. Told only where asked for."""

from time import perf_counter
from typing import Final

import numpy as np

from schemas.live import Funnel
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Where
from services.recommender.pipeline.neighbours import NOBODY
from services.recommender.pipeline.request import CandidateSet


class FunnelWatch:
    """Notes how long each step of a row takes, and how many candidates it leaves; nothing where it is off."""

    __slots__ = ("_chosen", "_is_on", "_ms", "_since", "_started")

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on
        self._chosen = 0
        self._ms: dict[str, float] = {}
        self._since = self._started = perf_counter() if is_on else 0.0

    def stop(self, step: str, chosen: int | None = None) -> None:
        """A step is done, and the next begins; it has chosen so many."""
        if not self._is_on:
            return
        now = perf_counter()
        self._ms[step] = round((now - self._since) * 1000, 3)
        self._since = now
        self._chosen = self._chosen if chosen is None else chosen

    def funnel(
        self, offer: CandidateSet, catalogue: Catalogue, wheres: tuple[Where, Where], length: int
    ) -> Funnel | None:
        """All of it; None where it is off. `wheres` are the request's own filters, and with all that hides
        products: what the visitor knows, what the page shows, what rules block."""
        if not self._is_on:
            return None
        brought = {name: np.unique(np.concatenate([NOBODY, *each])) for name, each in offer.found.items()}
        found = np.unique(np.concatenate([NOBODY, *brought.values()]))
        of_request, of_all = (int(catalogue.filter(where).mask(found).sum()) for where in wheres)
        left = {
            "sources": len(found),
            "filters": of_request,
            "rules": of_all,
            "ranking": sum(len(each.numbers) for each in offer.lists),
            "diversity": self._chosen,
            "row": length,
        }
        sources = {name: len(numbers) for name, numbers in brought.items()}
        total = round((perf_counter() - self._started) * 1000, 3)
        return Funnel(sources=sources, left=left, ms=self._ms | {"total": total})


OFF: Final = FunnelWatch(is_on=False)
