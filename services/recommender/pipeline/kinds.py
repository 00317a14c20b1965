"""What kinds of products stand together in past visits, and whom each product is for.

Two products are seldom in more than a few visits together, their kinds are in thousands: these tell a tent's
sleeping bag from a chair that somebody happened to look at on the same day.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from time import monotonic
from typing import Final, NamedTuple

import numpy as np
from cachetools import LRUCache

from schemas.products import Product
from services.model.behaviour import Behaviour
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints, Numbering
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.model_numbers import MODELS_KEPT
from services.recommender.search.text import english, key_of

KINDS_MAX: Final = 2_000  # those with the most products: a table of 32 MB
RENEW_S: Final = 600.0  # how far a table may be behind a catalogue whose words change
SMOOTHING: Final = 1.0  # visits that are added to those seen and to those expected


class KindTable(NamedTuple):
    """By a model's own product numbers (products,): kind, topic, UNKNOWN for none, and audience, bits.

    `lift` (kinds, kinds): how many times as often two kinds stand in one visit as they would by chance, and
    in how many `visits` they do.
    """

    kind: Ints
    topic: Ints
    audience: Ints
    lift: Floats
    visits: Ints


class KindTables:
    """A table for each line of releases, made when it is first asked for, beside the loop."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._tables: LRUCache[int, tuple[object, int, float, KindTable]] = LRUCache(MODELS_KEPT)
        self._turn = asyncio.Lock()

    async def of(self, model: Behaviour) -> KindTable:
        """What a release grows to has the same products, and the same table."""
        async with self._turn:
            known = self._tables.get(id(model.products))
            if known is not None and known[0] is model.products:
                _, wording, since, table = known
                if wording == self._catalogue.wording or monotonic() - since < RENEW_S:
                    return table
            wording = self._catalogue.wording
            products = [self._catalogue.get(each) for each in model.products]
            table = await asyncio.to_thread(build_table, model, products)
            self._tables[id(model.products)] = model.products, wording, monotonic(), table
        return table


def build_table(model: Behaviour, products: Iterable[Product | None]) -> KindTable:
    """From the model's products, in its order; None for one that the shop has no longer."""
    kinds, topics = Numbering(), Numbering()
    rows = [
        (UNKNOWN, UNKNOWN, 0)
        if each is None
        else (_number(kinds, kind_of(each)), _number(topics, topic_of(each)), audience_of(each))
        for each in products
    ]
    kind, topic, audience = np.array(rows, dtype=np.int32).reshape(-1, 3).T.copy()
    if len(kinds) > KINDS_MAX:
        kept = [number for number, _ in Counter(kind[kind != UNKNOWN].tolist()).most_common(KINDS_MAX)]
        renumbered = np.full(len(kinds) + 1, UNKNOWN, np.int32)
        renumbered[kept] = np.arange(KINDS_MAX)
        kind = renumbered[kind]
    count = min(len(kinds), KINDS_MAX)
    visits = model.count_groups(kind, count)
    alone = visits.diagonal().astype(np.float32)
    expected = np.outer(alone, alone) / np.float32(max(model.visits, 1))
    lift = (visits + np.float32(SMOOTHING)) / (expected + np.float32(SMOOTHING))
    return KindTable(kind, topic, audience, lift, visits)


def _number(names: Numbering, name: str) -> int:
    return names.number(name) if name else UNKNOWN


def kind_of(product: Product) -> str:
    """Its type; the whole category where it has none, whoever it is for. Empty for neither."""
    return product.type or "/".join(drop_audience(product.category))


def topic_of(product: Product) -> str:
    """The shelf above its own, whoever it is for: shirts for women and for men are one topic, and so are
    tents and sleeping bags below Camping. Empty without a category."""
    shelf = drop_audience(product.category)
    return "/".join(shelf[:-1] or shelf)


@lru_cache(10_000)
def drop_audience(category: tuple[str, ...]) -> tuple[str, ...]:
    """A category's path without steps that only say whom it is for; the whole path where all of them do."""
    people = _audiences()
    steps = tuple(step for step in category if not (words := _words(step)) or not words <= people.keys())
    return steps or category


def audience_of(product: Product) -> int:
    """A bit for each kind of people that its category or a tag names; 0 for everyone."""
    return _audience_of((*product.category, *product.tags))


@lru_cache(20_000)
def _audience_of(names: tuple[str, ...]) -> int:
    people, found = _audiences(), 0
    for name in names:
        words = _words(name)
        if words and words <= people.keys():
            for word in words:
                found |= people[word]
    return found


def _words(name: str) -> set[str]:
    return set(key_of(name).split()) - english().words.clothing


@lru_cache(1)
def _audiences() -> dict[str, int]:
    """The bit of each word."""
    return {word: 1 << nth for nth, each in enumerate(english().people.values()) for word in each.words}
