"""What makes a candidate more or less relevant to one row than its source says."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final

import numpy as np

from schemas.products import Product
from services.model.session_index import Floats
from services.product_numbers import Ints
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Where
from services.recommender.pipeline.fatigue import Faded, find_faded
from services.recommender.pipeline.merchandising import ActiveRules
from services.recommender.pipeline.request import RecommendationRequest

PAGE_BOOST: Final = np.float32(1.5)  # of what a category's page shows, in the visitor's row on it
FADES: Final = frozenset({"for_you", "popular"})  # kinds of rows in which what is never clicked gives way


class RowFactors:
    """The shop's rules, rows that were seen in vain, purchases, and the page around the row."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        """`clock`: Unix ms."""
        self._catalogue = catalogue
        self._clock = clock

    def move(self, asked: RecommendationRequest, in_force: ActiveRules) -> bool:
        """Whether anything may: then more candidates are needed than a row has."""
        return in_force.moves or bool(asked.effects.factors) or self._find_faded(asked) is not None

    def find(self, asked: RecommendationRequest, numbers: Ints, in_force: ActiveRules) -> Floats | None:
        """(n,) what each one's relevance is multiplied by; None where all stay."""
        catalogue = self._catalogue
        found: list[Floats] = []
        if in_force.moves:
            found.append(in_force.factors(self._products(catalogue.numbers.ids(numbers))))
        if (faded := self._find_faded(asked)) is not None:
            found.append(faded.take(numbers))
        if (unwanted := asked.effects.factors_of(catalogue.shelf_codes(numbers))) is not None:
            found.append(unwanted)
        if asked.page_category and asked.kind == "for_you":
            here = catalogue.filter(Where(category=frozenset({asked.page_category}))).mask(numbers)
            found.append(np.where(here, PAGE_BOOST, np.float32(1)))
        return reduce(np.multiply, found) if found else None

    def _find_faded(self, asked: RecommendationRequest) -> Faded | None:
        if asked.kind not in FADES:
            return None
        catalogue = self._catalogue
        return find_faded(
            asked.session, catalogue.find_by_digest, catalogue.numbers.find, self._clock() / 1000
        )

    def _products(self, product_ids: Sequence[str]) -> list[Product]:
        return [each for product_id in product_ids if (each := self._catalogue.get(product_id)) is not None]
