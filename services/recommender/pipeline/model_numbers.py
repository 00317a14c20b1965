"""A model's own product numbers beside those of the shop: it was learned before some products were there."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from cachetools import LRUCache

from schemas.sessions import SessionEvent
from services.model.behaviour import Behaviour
from services.model.session import Tuning
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Column, Ints, ProductNumbers

MODELS_KEPT: Final = 8  # lines of releases that serve at a time: experiments have their own

Translation = tuple[Sequence[str], Ints, Column[np.int32]]  # the model's products; to the shop's; and back


class ModelNumbers:
    """Asks models by the shop's numbers."""

    def __init__(self, numbers: ProductNumbers) -> None:
        self._numbers = numbers
        self._translations: LRUCache[int, Translation] = LRUCache(MODELS_KEPT)

    def candidates(
        self, model: Behaviour, events: Sequence[SessionEvent], tuning: Tuning, others: Ints
    ) -> tuple[Ints, Floats]:
        """What may come after these events, and the `others`, with the (n, FEATURES) of each.

        Others that the model does not know are last.
        """
        _, to_shop, to_model = self._translation(model)
        extra = to_model.take(others)
        is_known = extra != UNKNOWN
        unknown = others[~is_known]
        numbers, features = model.candidates_by_number(events, tuning, extra[is_known], len(unknown))
        return np.concatenate([to_shop[numbers], unknown]), features

    def of_shop(self, model: Behaviour) -> Ints:
        """(products,) the shop's number of each of the model's products. Not to be written to."""
        return self._translation(model)[1]

    def _translation(self, model: Behaviour) -> Translation:
        """Made once for the products of a release: what it grows to has the same."""
        found = self._translations.get(id(model.products))
        if found is None or found[0] is not model.products:
            to_shop = self._numbers.number_all(model.products)
            to_model = Column(self._numbers, np.int32, UNKNOWN)
            to_model.put_all(to_shop, np.arange(len(to_shop), dtype=np.int32))
            found = self._translations[id(model.products)] = (model.products, to_shop, to_model)
        return found
