"""The query set: sentences and what a shop should understand, by hand and from templates.

`python -m tests.support.search.query_set` writes queries.jsonl of by_hand.jsonl, shoppers.tsv and templates.
What is in shoppers.tsv is of the kinds that public sets of shoppers' queries hold: WANDS (Wayfair, furniture)
and ESCI (Amazon, everything); `own` are kinds that shops were seen to get wrong. The sentences are our own.
Some are held out, chosen by a hash of the sentence: the parser is tuned on the others only.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import msgspec

from services.recommender.search.query import Inferred
from services.recommender.search.right_words import language_of
from services.recommender.search.vocabulary import Vocabulary
from storefront.demo.catalogue.assortment import KINDS
from storefront.demo.catalogue.generator import made
from tests.support.search.hardware import hardware
from tests.support.search.home import home

HERE: Final = Path(__file__).parent
QUERIES: Final = HERE / "queries.jsonl"
BY_HAND: Final = HERE / "by_hand.jsonl"
SHOPPERS: Final = HERE / "shoppers.tsv"
SEED: Final = 20
FROM_TEMPLATES: Final = 195
DEMO_PRODUCTS: Final = 2_400
DEMO_SEED: Final = 7

Shop = Literal["demo", "hardware", "home"]
Source = Literal["hand", "wands", "esci", "own", "template"]
Split = Literal["tuning", "held_out"]


class ByHand(msgspec.Struct, frozen=True):
    """One sentence, the shop that it is said in, and what it means there."""

    query: str
    catalogue: Shop
    expected: Inferred


class Case(ByHand, frozen=True, kw_only=True):
    """One line of queries.jsonl."""

    source: Source
    split: Split
    language: str = "en"


@cache
def vocabulary(shop: Shop) -> Vocabulary:
    """The words of the shop that a sentence is said in."""
    if shop != "demo":
        return Vocabulary.of(hardware() if shop == "hardware" else home())
    return Vocabulary.of(each.product for each in made(DEMO_PRODUCTS, DEMO_SEED))


def cases() -> list[Case]:
    """Every line of queries.jsonl."""
    return [msgspec.json.decode(line, type=Case) for line in QUERIES.read_bytes().splitlines()]


def split_of(query: str, source: Source) -> Split:
    """A third of what was there first is held out, half of what shoppers.tsv added."""
    share = 3 if source in {"hand", "template"} else 2
    return "held_out" if hashlib.sha256(query.encode()).digest()[0] % share == 0 else "tuning"


def generate_cases() -> Iterator[Case]:
    """What queries.jsonl is to hold."""
    known: set[tuple[str, Shop]] = set()
    templates = (("template", "en", line) for line in _from_templates())
    by_hand = (("hand", "en", line) for line in _by_hand())
    for source, language, line in chain(by_hand, _from_shoppers(), templates):
        if (line.query, line.catalogue) not in known:
            known.add((line.query, line.catalogue))
            split = split_of(line.query, source)  # type: ignore[arg-type]  # checked below
            further = {"source": source, "split": split, "language": language}
            yield msgspec.convert({**msgspec.to_builtins(line), **further}, Case)


def encode_cases(lines: Iterator[Case]) -> bytes:
    """As the bytes of queries.jsonl."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _by_hand() -> Iterator[ByHand]:
    for line in BY_HAND.read_bytes().splitlines():
        yield msgspec.json.decode(line, type=ByHand)


def _from_shoppers() -> Iterator[tuple[str, str, ByHand]]:
    """After which set, the language, and the sentence."""
    for line in SHOPPERS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            after, language, shop, query, expected = line.split("\t")
            yield after, language, ByHand(query, shop, _read_expected(expected))  # type: ignore[arg-type]


LISTS: Final = {
    "t": "types", "c": "categories", "b": "brands", "g": "tags", "nt": "not_types", "nb": "not_brands",
    "nc": "not_categories", "ng": "not_tags", "u": "unknown",
}  # fmt: skip


def _read_expected(text: str) -> Inferred:
    """ "t=shirt; g=red; d=red; max=50 EUR; i": i weighs the picture, near~ has no bounds."""
    found: dict[str, object] = {}
    weights: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, value = part.partition("=")
        if name in LISTS:
            found[LISTS[name]] = value.split(",")
        elif name == "d":
            found["description"] = value
        elif name == "o":
            found["order"] = value
        elif name == "k":
            found["corrections"] = dict([value.split(">")])
        elif name == "i":
            weights["image"] = 1.0
        elif name == "w":
            weights |= {key: float(weight) for key, weight in (pair.split(":") for pair in value.split(","))}
        else:
            found |= _read_price(name, *value.split())
    return msgspec.convert({**found, "weights": weights}, Inferred)


def _read_price(name: str, amount: str, currency: str | None = None) -> dict[str, object]:
    value, told = float(amount), {} if currency is None else {"currency": currency}
    if name == "near":
        return told | {
            "price_near": value,
            "price_min": round(value * 0.8, 2),
            "price_max": round(value * 1.2, 2),
        }
    return told | {{"near~": "price_near", "min": "price_min", "max": "price_max"}[name]: value}


# What is typed, and the catalogue's own word for it.
Surface = tuple[str, str]
TYPES: Final[dict[str, tuple[Surface, ...]]] = {
    "demo": (
        ("shirt", "shirt"), ("shirts", "shirt"), ("t-shirts", "t-shirt"), ("tee", "t-shirt"),
        ("sweaters", "sweater"), ("jumper", "sweater"), ("hoodies", "hoodie"), ("jackets", "jacket"),
        ("coat", "coat"), ("dresses", "dress"), ("skirt", "skirt"), ("trousers", "trousers"),
        ("sneakers", "sneakers"), ("trainers", "sneakers"), ("boots", "boots"), ("sandals", "sandals"),
        ("hat", "hat"), ("caps", "cap"), ("scarves", "scarf"), ("bag", "bag"), ("watches", "watch"),
        ("lamps", "lamp"), ("vase", "vase"), ("clocks", "clock"), ("plant pots", "plant pot"),
        ("cushions", "cushion"), ("rugs", "rug"), ("mug", "mug"), ("chairs", "chair"),
        ("backpack", "backpack"), ("tents", "tent"), ("sleeping bags", "sleeping bag"),
        ("bottles", "bottle"), ("umbrellas", "umbrella"),
    ),
    "hardware": (
        ("cordless drill", "cordless drill"), ("hammer drills", "hammer drill"), ("jigsaw", "jigsaw"),
        ("circular saws", "circular saw"), ("hammers", "hammer"), ("screwdrivers", "screwdriver"),
        ("pliers", "pliers"), ("wrenches", "wrench"), ("hoses", "hose"), ("lawn mower", "lawn mower"),
        ("shears", "shears"), ("axes", "axe"), ("work gloves", "work gloves"), ("paint roller",
        "paint roller"),
    ),
}  # fmt: skip
ATTRIBUTES: Final[dict[str, tuple[Surface, ...]]] = {
    "demo": (
        ("red", "red"), ("black", "black"), ("grey", "grey"), ("gray", "grey"), ("olive", "olive"),
        ("teal", "teal"), ("white", "white"), ("pink", "pink"), ("sky blue", "sky blue"), ("striped",
        "striped"),
        ("stripy", "striped"), ("dotted", "dotted"), ("polka dot", "dotted"), ("floral", "floral"),
        ("checked", "checked"), ("plain", "plain"), ("zigzag", "zigzag"),
    ),
    "hardware": (
        ("magnetic", "magnetic"), ("insulated", "insulated"), ("brushless", "brushless"), ("steel", "steel"),
        ("left-handed", "left-handed"), ("frost proof", "frost-proof"),
    ),
}  # fmt: skip
BRANDS: Final[dict[str, tuple[Surface, ...]]] = {
    "demo": (
        ("ilse", "Ilse"), ("Kestrel", "Kestrel"), ("birk & loft", "Birk & Loft"), ("casa verde",
        "Casa Verde"),
        ("umbra and co", "Umbra & Co"), ("fjellby", "Fjellby"), ("Wexley", "Wexley"), ("yarrow", "Yarrow"),
    ),
    "hardware": (
        ("bosch", "Bosch"), ("Makita", "Makita"), ("black & decker", "Black & Decker"), ("wurth", "Würth"),
        ("3M", "3M"), ("stanley", "Stanley"),
    ),
}  # fmt: skip
PEOPLE: Final[tuple[tuple[str, str, str], ...]] = (
    ("mens", "", "Men"), ("men's", "", "Men"), ("", "for men", "Men"), ("womens", "", "Women"),
    ("ladies", "", "Women"), ("", "for women", "Women"), ("kids", "", "Kids"), ("", "for children", "Kids"),
)  # fmt: skip
TOPS: Final = {kind.name: kind.tops for kind in KINDS}
PRICES: Final[tuple[tuple[str, dict[str, object]], ...]] = (
    ("under $90", {"price_max": 90.0, "currency": "USD"}),
    ("below 45 euros", {"price_max": 45.0, "currency": "EUR"}),
    ("less than 60", {"price_max": 60.0}),
    ("up to £35", {"price_max": 35.0, "currency": "GBP"}),
    ("max 80", {"price_max": 80.0}),
    ("over 100", {"price_min": 100.0}),
    ("at least 25 EUR", {"price_min": 25.0, "currency": "EUR"}),
    ("between 20 and 50", {"price_min": 20.0, "price_max": 50.0}),
    ("20-50 €", {"price_min": 20.0, "price_max": 50.0, "currency": "EUR"}),
    ("$20 to $50", {"price_min": 20.0, "price_max": 50.0, "currency": "USD"}),
    ("around $50", {"price_near": 50.0, "price_min": 40.0, "price_max": 60.0, "currency": "USD"}),
    ("about 70", {"price_near": 70.0, "price_min": 56.0, "price_max": 84.0}),
    ("no more than 49,90 €", {"price_max": 49.9, "currency": "EUR"}),
    ("not over 120", {"price_max": 120.0}),
)
WISHES: Final[tuple[tuple[str, dict[str, float]], ...]] = (
    ("cheap", {"price": -1.0}),
    ("affordable", {"price": -1.0}),
    ("luxury", {"price": 1.0}),
    ("popular", {"popularity": 1.0}),
    ("best selling", {"popularity": 1.0}),
)
OPENINGS: Final = ("show me", "i want", "looking for", "i am looking for a", "any", "do you have", "need")
CLOSINGS: Final = ("please", "thanks", "pls")
NEGATIONS: Final = ("not {}", "but not {}", "no {}", "without {}")


class _Sentence:
    """One made sentence and what it is to be understood as, built part by part."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self._shop, self._rng = shop, rng
        self._words: list[str] = []
        self._expected: dict[str, object] = {}
        self._wished: list[str] = []
        self._weights: dict[str, float] = {}

    def make(self) -> ByHand:
        """Drawn with the generator given."""
        kind = self._rng.choice(TYPES[self._shop])
        tops = TOPS.get(kind[1], ())  # the hardware shop's things are for everybody
        people = [each for each in PEOPLE if each[2] in tops]
        person = self._rng.choice(people) if people and self._chance(0.5) else ("", "", "")
        if person[2]:
            self._expected["categories"] = [person[2]]
        if self._chance(0.3):
            self._words.append(self._rng.choice(OPENINGS))
        self._maybe(0.2, self._wish)
        self._words.append(person[0])
        self._maybe(0.5, self._attribute)
        self._type(*kind)
        self._words.append(person[1])
        self._maybe(0.25, self._brand)
        self._maybe(0.25, self._negation)
        self._maybe(0.5, self._price)
        if self._chance(0.15):
            self._words.append(self._rng.choice(CLOSINGS))
        return self._tell()

    def _tell(self) -> ByHand:
        if self._wished:
            self._expected |= {"tags": self._wished, "description": " ".join(self._wished)}
            if self._shop == "demo":  # whose tags are all of colours and patterns
                self._weights["image"] = 1.0
        expected = {**self._expected, "weights": self._weights}
        query = " ".join(word for word in self._words if word)
        return ByHand(query, self._shop, msgspec.convert(expected, Inferred))

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _maybe(self, share: float, part: Callable[[], None]) -> None:
        if self._chance(share):
            part()

    def _wish(self) -> None:
        words, weights = self._rng.choice(WISHES)
        self._words.append(words)
        self._weights |= weights

    def _attribute(self) -> None:
        words, tag = self._rng.choice(ATTRIBUTES[self._shop])
        self._words.append(words)
        self._wished.append(tag)

    def _type(self, words: str, kind: str) -> None:
        self._expected["types"] = [kind]
        if self._chance(0.12) and len(words) >= 7 and words.isalpha():
            typed = _mistype(words, self._rng)
            if not language_of(typed):  # a Dutch hammer is a "hamer"
                self._expected["corrections"] = {typed: words}
                words = typed
        self._words.append(words)

    def _brand(self) -> None:
        words, brand = self._rng.choice(BRANDS[self._shop])
        self._words.append(f"{self._rng.choice(('by', 'from'))} {words}")
        self._expected["brands"] = [brand]

    def _negation(self) -> None:
        words, tag = self._rng.choice(ATTRIBUTES[self._shop])
        if tag in self._wished:
            return
        self._words.append(self._rng.choice(NEGATIONS).format(words))
        self._expected["not_tags"] = [tag]

    def _price(self) -> None:
        words, bounds = self._rng.choice(PRICES)
        self._words.append(words)
        self._expected |= bounds


def _mistype(word: str, rng: random.Random) -> str:
    """Two letters inside swapped, one left out or one doubled."""
    at = rng.randrange(2, len(word) - 3)
    if word[at] == word[at + 1]:
        return word[:at] + word[at + 1 :]
    return rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
        )
    )


def _from_templates() -> Iterator[ByHand]:
    rng = random.Random(SEED)
    for number in range(FROM_TEMPLATES):
        yield _Sentence("hardware" if number % 4 == 3 else "demo", rng).make()


if __name__ == "__main__":
    QUERIES.write_bytes(encode_cases(generate_cases()))
