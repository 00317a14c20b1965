"""How long a search's words take to be understood, and a catalogue's vocabulary to be built.

`python -m tests.benchmark.search_words` prints the figures as JSON.
"""

import gc
import random
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from schemas.products import Product
from services.recommender.search.parser import parse
from services.recommender.search.text import forms, is_plural
from services.recommender.search.vocabulary import Vocabulary
from storefront.demo.catalogue.generator import made
from tests.benchmark.stopwatch import time_call
from tests.support.search.query_set import DEMO_PRODUCTS, DEMO_SEED, cases

LARGE: Final = 100_000
LARGE_BRANDS: Final = 5_000
LARGE_TAGS: Final = 10_000
LARGE_TYPES: Final = 2_000
ROUNDS: Final = 20
SEED: Final = 7
SYLLABLES: Final = [
    "ba",
    "be",
    "bi",
    "bo",
    "da",
    "de",
    "do",
    "fa",
    "fi",
    "ga",
    "go",
    "ka",
    "ke",
    "ko",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "mo",
    "na",
    "ne",
    "ni",
    "no",
    "pa",
    "pe",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "ve",
    "vi",
    "zo",
]


class Microseconds(msgspec.Struct, frozen=True):
    """Percentiles of one measured thing."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Microseconds":
        """From seconds."""
        return cls(*(round(float(each) * 1e6, 1) for each in np.percentile(seconds, [50, 90, 99])))


class ShopFigures(msgspec.Struct, frozen=True):
    """One shop: its vocabulary's building in seconds, first and with its names' forms remembered; one parse.

    `undisturbed` takes of each sentence the fastest round: what else the machine does is not in it.
    """

    products: int
    first_build_s: float
    next_build_s: float
    parse: Microseconds
    undisturbed: Microseconds


class SearchWordsFigures(msgspec.Struct, frozen=True):
    """The query set's sentences, each parsed some rounds with every shop's words."""

    sentences: int
    rounds: int
    shops: list[ShopFigures]


def measure() -> SearchWordsFigures:
    """The demo's shop and a large one, after each other."""
    sentences = [case.query for case in cases()]
    demo = [each.product for each in made(DEMO_PRODUCTS, DEMO_SEED)]
    return SearchWordsFigures(
        sentences=len(sentences),
        rounds=ROUNDS,
        shops=[_shop(demo, sentences), _shop(list(large()), sentences)],
    )


def large() -> Iterator[Product]:
    """100,000 products: the demo's with thousands of other brands, types and tags beside theirs."""
    rng = random.Random(SEED)
    brands = [_name(rng).capitalize() for _ in range(LARGE_BRANDS)]
    types = [
        f"{_name(rng)} {rng.choice(('table', 'cream', 'toy', 'cable', 'plant'))}" for _ in range(LARGE_TYPES)
    ]
    tags = [_name(rng) for _ in range(LARGE_TAGS)]
    for number, each in enumerate(made(LARGE, SEED)):
        if number % 2:
            yield each.product
            continue
        kind = rng.choice(types)
        yield msgspec.structs.replace(
            each.product,
            brand=rng.choice(brands),
            type=kind,
            category=("Market", kind.split()[1].capitalize(), kind.capitalize()),
            tags=tuple(rng.sample(tags, 3)),
        )


def _name(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))


def _shop(products: list[Product], sentences: list[str]) -> ShopFigures:
    forms.cache_clear()
    is_plural.cache_clear()
    first, _ = time_call(lambda: Vocabulary.of(products))
    again, vocabulary = time_call(lambda: Vocabulary.of(products))
    gc.collect()
    rounds = [
        [time_call(lambda: parse(query, vocabulary))[0] for query in sentences]  # noqa: B023
        for _ in range(1 + ROUNDS)
    ][1:]  # the first is the warm-up
    return ShopFigures(
        products=len(products),
        first_build_s=round(first, 3),
        next_build_s=round(again, 3),
        parse=Microseconds.of([seconds for each in rounds for seconds in each]),
        undisturbed=Microseconds.of([min(each) for each in zip(*rounds, strict=True)]),
    )


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(measure())).decode())
