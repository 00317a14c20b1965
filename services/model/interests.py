"""What an interest's vector says, in words, for operators and visitors. Pure: a session and products in."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import atan2, pi, sqrt
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec.structs import replace

from schemas import directions
from schemas.events import EVENT_TYPES, EventType
from schemas.points import CATEGORY_SEPARATOR
from schemas.products import Product
from schemas.sessions import Interest, Session
from schemas.vectors import Layout, Vector
from services.model.content import FOR_YOU, PRICE_HIGH, PRICE_LOW, signs
from services.model.session import Tuning, weigh

NEIGHBOURS: Final = 30  # products whose words are tried
NEAREST: Final = 5
PARTS: Final = 5
WORDS_MAX: Final = 3
# Two words that have nothing to do with each other have a cosine of 0 ± 0.18 (32 components), and the best of
# thirty 0.4; of three words alike in one vector each has 0.58.
COSINE_MIN: Final = 0.5
TAG_SHARE_MIN: Final = 0.2  # of the evidence: below, a few products tell of themselves
TAG_LIFT_MIN: Final = 1.5
NEARLY_ALL: Final = 0.7  # of a category's weight in one of its children
LOOKS: Final = {"image": 0.5, "text": 0.5}  # what colours, patterns and materials show in


class ProductName(msgspec.Struct, frozen=True):
    """A product; there is no name of what is not on `products` any more."""

    product_id: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.product_id} {self.name}" if self.name else self.product_id


class InterestInWords(msgspec.Struct, frozen=True, kw_only=True):
    """An interest's vector in words.

    `path` is the category that most of its vector is of, `brands` and `types` have their cosine with it.
    `tags` have their share among the products that it is made of and those that look and read most like it,
    half each, and among all of the category.
    `price` is where its prices point to. Without vectors of products only the first three fields are known.
    """

    category: str
    weight: float
    because: "Because"
    path: tuple[str, ...] = ()
    brands: "tuple[Cosine, ...]" = ()
    types: "tuple[Cosine, ...]" = ()
    tags: "tuple[Tag, ...]" = ()
    price: "Price | None" = None
    nearest: "tuple[Likeness, ...]" = ()
    made_of: "tuple[Part, ...]" = ()
    sentence: str = ""


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """The event that weighs most."""

    type: EventType
    product: ProductName
    occurred_at: int


class Cosine(msgspec.Struct, frozen=True):
    """A word whose vector is near a segment of the interest's."""

    word: str
    cosine: float


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that is more frequent in the interest than in its category."""

    word: str
    share: float
    share_of_all: float


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """About so much; `low` and `high` are those of the products that the interest is made of."""

    about: float
    low: float | None
    high: float | None
    currency: str


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """A product near the interest; 1 is as near as can be."""

    product: ProductName
    likeness: float
    availability: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a product counts in the interest, of all that counts; less than 0 where it was put back."""

    product: ProductName
    share: float


class Neighbour(NamedTuple):
    """A product, and Σ weight · cosine with what was asked for."""

    product: Product
    score: float


class EmbeddedProducts(Protocol):
    """Products with vectors of one layout."""

    layout: Layout

    def find(self, product_id: str) -> Product | None:
        """The product, or None."""

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """The first step of each product's category path, or None for one without a vector."""

    def among(self, category: str) -> list[str]:
        """The ids of products of a top-level category: all of them, or as many as tell of all."""

    def nearest(self, query: Vector, product_ids: Sequence[str], k: int) -> list[Neighbour]:
        """The k of these products with the greatest dot product with a (width,) query, the best first."""


Name = Callable[[str], ProductName]


@dataclass(frozen=True)
class InterestContext:
    """What all interests of a session are told from."""

    session: Session
    embedded: EmbeddedProducts
    tuning: Tuning
    name: Name


def name_only(session: Session, name: Name) -> tuple[InterestInWords, ...]:
    """What is known without the vectors of products."""
    return tuple(_with_sentence(_name_only(session, each, name)) for each in session.interests)


def describe(ground: InterestContext) -> tuple[InterestInWords, ...]:
    """The session's interests; its layout must be that of the products' vectors."""
    parts = parts_of(ground)
    return tuple(_describe(ground, each, parts.get(each.category, {})) for each in ground.session.interests)


def parts_of(ground: InterestContext) -> Mapping[str, Mapping[str, float]]:
    """By interest and product what it counts there, the greatest first; the sizes of an interest's sum to 1.

    Found anew from the events: where the category of a product has changed since the session was computed,
    its interest is missing.
    """
    session = ground.session
    if not session.events:
        return {}
    products = [event.product_id for event in session.events]
    categories = ground.embedded.top_categories(products)
    missing = [index for index, category in enumerate(categories) if category is None]
    counts = weigh(session.events, categories, missing, ground.tuning)
    found: dict[str, dict[str, float]] = {}
    for liking, row in zip(counts.likings, counts.rows[1:], strict=True):
        of_product: defaultdict[str, float] = defaultdict(float)
        for product_id, count in zip(products, row, strict=True):
            of_product[product_id] += float(count)
        whole = sum(map(abs, of_product.values())) or 1.0
        shares = {each: count / whole for each, count in of_product.items() if count}
        found[liking.category] = dict(sorted(shares.items(), key=lambda part: (-abs(part[1]), part[0])))
    return found


def _name_only(session: Session, interest: Interest, name: Name) -> InterestInWords:
    event = session.events[interest.event]
    because = Because(type=event.type, product=name(event.product_id), occurred_at=event.occurred_at)
    return InterestInWords(category=interest.category, weight=interest.weight, because=because)


def _describe(ground: InterestContext, interest: Interest, parts: Mapping[str, float]) -> InterestInWords:
    embedded, found = ground.embedded, _name_only(ground.session, interest, ground.name)
    if not any(interest.vector):  # what was liked and put back cancel each other out
        return _with_sentence(found)
    layout = embedded.layout
    [vector] = directions.unpack([interest.vector], layout)
    among = embedded.among(interest.category)
    near = embedded.nearest(layout.apply_weights(vector, FOR_YOU), among, NEIGHBOURS)
    alike = embedded.nearest(layout.apply_weights(vector, LOOKS), among, NEIGHBOURS)
    liked = _own_products(parts, embedded)
    own = [product for product, _ in liked]
    around = [*own, *(each.product for each in near)]
    # The score of a product that is alike in every segment that the vector has.
    weights = layout.apply_weights(np.ones(layout.width, dtype=np.float32), FOR_YOU)
    best = float((vector * vector) @ weights) or 1.0
    return _with_sentence(
        replace(
            found,
            path=_path(vector, layout, interest.category, around),
            brands=_cosines(vector, layout, "brand", [each.brand for each in around]),
            types=_cosines(vector, layout, "type", [each.type for each in around]),
            tags=distinctive_tags(
                _evidence(liked, alike), [product for each in among if (product := embedded.find(each))]
            ),
            price=_price(vector, layout, own, around),
            nearest=tuple(
                Likeness(
                    product=ground.name(each.product.product_id),
                    likeness=round(each.score / best, 3),
                    availability=each.product.availability,
                )
                for each in near[:NEAREST]
            ),
            made_of=tuple(
                Part(product=ground.name(each), share=round(share, 3))
                for each, share in list(parts.items())[:PARTS]
            ),
        )
    )


def distinctive_tags(
    foreground: Sequence[tuple[Product, float]], background: Sequence[Product]
) -> tuple[Tag, ...]:
    """Tags that say what sets products, each with its weight, apart from all of their category.

    The most telling first, by (f − b) · f / b of the shares f and b: the JLH score of Elasticsearch's
    significant terms.
    """
    whole = sum(weight for _, weight in foreground)
    if whole <= 0 or not background:
        return ()
    here: defaultdict[str, float] = defaultdict(float)
    for product, weight in foreground:
        for word in set(product.tags):
            here[word] += weight / whole
    everywhere = Counter(word for product in background for word in set(product.tags))
    found: list[tuple[float, Tag]] = []
    for word, share in here.items():
        of_all = max(everywhere[word], 1) / len(background)
        if share >= TAG_SHARE_MIN and share >= TAG_LIFT_MIN * of_all:
            tag = Tag(word=word, share=round(share, 3), share_of_all=round(of_all, 3))
            found.append(((share - of_all) * share / of_all, tag))
    return tuple(tag for _, tag in sorted(found, key=lambda each: (-each[0], each[1].word))[:WORDS_MAX])


def _own_products(parts: Mapping[str, float], embedded: EmbeddedProducts) -> list[tuple[Product, float]]:
    """What the interest is made of and was not put back, each with its share of that."""
    found = [
        (product, share)
        for each, share in parts.items()
        if share > 0 and (product := embedded.find(each)) is not None
    ]
    whole = sum(share for _, share in found)
    return [(product, share / whole) for product, share in found]


def _evidence(
    liked: Sequence[tuple[Product, float]], alike: Sequence[Neighbour]
) -> list[tuple[Product, float]]:
    """Half of the weight for what the interest is made of, half for what looks and reads most like it."""
    return [*liked, *((each.product, 1 / len(alike)) for each in alike)]


def _path(vector: Vector, layout: Layout, top: str, around: Iterable[Product]) -> tuple[str, ...]:
    """The deepest category that most of the interest is of: a step down where one child has nearly all of it.

    A category's vector is a sum over the prefixes of its path (`hashing.category_vector`): least squares tell
    how much of each prefix is in the interest's segment.
    """
    paths = {each.category[:depth] for each in around for depth in range(1, len(each.category) + 1)}
    prefixes = sorted(path for path in paths if path[0] == top)
    if not prefixes:
        return (top,)
    segment = vector[layout.slices["category"]]
    steps = [sqrt(len(path)) * signs(CATEGORY_SEPARATOR.join(path), len(segment)) for path in prefixes]
    solved = np.linalg.lstsq(np.array(steps).T, segment, rcond=None)[0]
    mass = dict(zip(prefixes, solved.tolist(), strict=True))
    path: tuple[str, ...] = (top,)
    while children := [each for each in prefixes if each[:-1] == path]:
        child = max(children, key=lambda each: mass[each])
        if mass[child] < NEARLY_ALL * mass[path]:
            break
        path = child
    return path


def _cosines(vector: Vector, layout: Layout, segment: str, words: Iterable[str | None]) -> tuple[Cosine, ...]:
    """The words that a hashed segment is near to, the nearest first."""
    asked = vector[layout.slices[segment]]
    found = [
        Cosine(word, round(float(signs(word, len(asked)) @ asked), 3))
        for word in dict.fromkeys(words)
        if word
    ]
    near = sorted((each for each in found if each.cosine >= COSINE_MIN), key=lambda each: -each.cosine)
    return tuple(near[:WORDS_MAX])


def _price(vector: Vector, layout: Layout, own: Sequence[Product], around: Sequence[Product]) -> Price | None:
    """The price that the half circle points to: the other way round of `halfcircle.price_point`."""
    x, y = vector[layout.slices["price"]].tolist()
    if not around or (x == 0 and y == 0):
        return None
    share = min(max(atan2(y, x) / pi, 0.0), 1.0)
    prices = [product.price for product in own]
    [(currency, _)] = Counter(product.currency for product in around).most_common(1)
    return Price(
        about=round(PRICE_LOW * (PRICE_HIGH / PRICE_LOW) ** share, 2),
        low=min(prices, default=None),
        high=max(prices, default=None),
        currency=currency,
    )


def _with_sentence(found: InterestInWords) -> InterestInWords:
    path = " > ".join(found.path or (found.category or "no category",))
    words = [each.word for each in found.types]
    words += [each.word for each in found.tags]
    words += [each.word for each in found.brands]
    if found.price is not None:
        words.append(format_price(found.price))
    said = f": {', '.join(words)}" if words else ""
    because = f"because of {found.because.product} ({event_words(found.because.type)})"
    return replace(found, sentence=f"{path}{said}; {because}")


def event_words(type_: EventType) -> str:
    """An event's type."""
    return EVENT_TYPES[type_].done


def format_price(price: Price) -> str:
    """40–60 EUR, or about 52 EUR."""
    low, high = price.low, price.high
    if low is None or high is None or round(low) == round(high):
        return f"about {price.about:.0f} {price.currency}"
    return f"{low:.0f}–{high:.0f} {price.currency}"
