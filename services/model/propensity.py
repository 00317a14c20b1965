"""What rows that were seen teach: how likely each place is looked at, and what a click there is worth. Pure.

The position-based model: a product at place k is clicked with the probability θ_k · relevance. What chance
put somewhere tells θ apart from relevance (Joachims, Swaminathan, Schnabel: Unbiased Learning-to-Rank with
Biased Feedback, WSDM 2017). A row that nobody saw says nothing: it is no row without clicks.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from schemas.events import CLICKS, EventType
from schemas.impressions import Shown, ShownItem

Curve = npt.NDArray[np.float64]

ROWS_MAX: Final = 200_000
PLACES_MAX: Final = 100  # as many as a row can have
BY_CHANCE: Final = 0.5  # what stands at its place with a greater probability was put there by its rank
CLICKS_MIN: Final = 10  # on what chance put somewhere: fewer tell nothing, and no curve is made of them
PRIOR_CLICKS: Final = 20.0  # how much the geometric law counts beside a place's own clicks
DECAYS: Final = np.arange(0.0, 1.01, 0.02)  # of the geometric law, a place, that are tried
# Persistence of 0.8 from place to place is what rank-biased precision takes (Moffat and Zobel, TOIS 2008).
DECAY_PRIOR: Final = 0.22, 0.15
FITS: Final = 25  # rounds of the alternating fit: two or three are enough, each costs microseconds
WEIGHT_MAX: Final = 10.0  # of one click, so that no single one decides what is learned

SEEN: Final[EventType] = "view_item_list"


class RowEvent(Protocol):
    """What an event tells of the row that it came from."""

    @property
    def type(self) -> EventType:
        """As in schemas.events.EVENT_TYPES."""

    @property
    def visitor_id(self) -> str:
        """Whose it is."""

    @property
    def recommendation_id(self) -> str | None:
        """The row, if it came from one."""

    def products(self) -> tuple[str, ...]:
        """Ids of products; of a `view_item_list` without any, the whole row was seen."""


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row that its visitor saw: of its products those that are `seen`, and of these those `clicked`."""

    shown: Shown
    seen: frozenset[str]
    clicked: frozenset[str] = frozenset()

    def items(self) -> Iterator[tuple[int, ShownItem, bool]]:
        """What was seen: the place from 0, the item, and whether it was clicked."""
        for place, item in enumerate(self.shown.items[:PLACES_MAX]):
            if item.product_id in self.seen:
                yield place, item, item.product_id in self.clicked


@dataclass
class RowEvents:
    """The events about rows, gathered one by one; rows are joined to them when all are there.

    Of more than twice `most` rows those go that came first.
    """

    most: int = ROWS_MAX
    _seen: dict[tuple[str, str], set[str] | None] = field(default_factory=dict)  # None: the whole row
    _clicked: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def __bool__(self) -> bool:
        """Whether any row was seen."""
        return bool(self._seen)

    def take(self, event: RowEvent) -> None:
        """Whatever it is about; order and repetition change nothing."""
        if event.recommendation_id is None:
            return
        key = event.visitor_id, event.recommendation_id
        if event.type in CLICKS:
            self._clicked[key].update(event.products())
        elif event.type == SEEN:
            before = self._seen.get(key, set())
            products = event.products()
            self._seen[key] = before | set(products) if products and before is not None else None
        for told in (self._seen, self._clicked):
            if len(told) > 2 * self.most:
                for key in [*told][: len(told) - self.most]:
                    del told[key]

    def join(self, shown: Shown) -> SeenRow | None:
        """The row as its visitor saw it; None for one that nobody saw, or somebody else."""
        key = shown.visitor_id, shown.recommendation_id
        if key not in self._seen:
            return None
        there, seen = frozenset(item.product_id for item in shown.items), self._seen[key]
        clicked = there & self._clicked.get(key, set())  # what was clicked was seen, whatever was told
        return SeenRow(shown, there if seen is None else (there & seen) | clicked, clicked)


def estimate_examination(rows: Iterable[SeenRow]) -> Curve:
    """(places,) how likely each place is looked at, beside the first one, whose share is 1.

    From products that chance put at their place with a known `propensity`; of each row every product that
    may move must have had a chance at every place that it may have moved to. Clicks are weighed by 1 /
    propensity (Horvitz and Thompson 1952), for rows of each kind and length apart, since those differ in what
    they show. A place's share is drawn towards the geometric law e^(−γ(k−1)) that fits best, which also tells
    of places where chance has no say: a power law would have the first ones looked at many times as often.
    Empty where chance has brought too few clicks: then nothing is known.
    """
    counts = _count_moved(rows)
    if counts is None:
        return np.empty(0)
    clicks, exposures = counts
    places = np.arange(1, clicks.shape[1] + 1, dtype=np.float64)
    (guess, spread), steps = DECAY_PRIOR, places - 1

    def weigh(decay: float) -> float:
        return _likelihood(np.exp(-decay * steps), clicks, exposures) - ((decay - guess) / spread) ** 2 / 2

    decay = max(DECAYS, key=weigh)
    curve = law = np.exp(-decay * steps)
    for _ in range(FITS):
        expected = exposures * _relevance(curve, clicks, exposures)[:, None]
        curve = (clicks.sum(axis=0) + PRIOR_CLICKS) / (expected.sum(axis=0) + PRIOR_CLICKS / law)
    return np.asarray(np.minimum(curve / curve[0], 1.0))


def _count_moved(rows: Iterable[SeenRow]) -> tuple[Curve, Curve] | None:
    """(groups, places) clicks on, and exposures of, what chance moves, each as many as they are worth."""
    sums: dict[tuple[str, int], Curve] = {}
    met = moved_clicks = 0
    for row in rows:
        group = row.shown.kind, len(row.shown.items)
        for place, item, clicked in row.items():
            met = max(met, place + 1)
            if item.propensity is None or not 0 < item.propensity < 1:
                continue
            weight, moved = 1 / item.propensity, item.propensity <= BY_CHANCE
            moved_clicks += moved and clicked
            columns = sums.setdefault(group, np.zeros((4, PLACES_MAX)))
            columns[:, place] += weight, weight * weight, weight * clicked, moved
    if moved_clicks < CLICKS_MIN:
        return None
    weights, squares, clicks, moved_there = np.stack(list(sums.values()), axis=1)[:, :, :met]
    # Where nothing came by chance, rank and place are one: such a place tells nothing, however often shown.
    # Weighted counts are worth as many as Kish's effective size says: Σw² / Σw is what one of them weighs.
    worth = np.divide(weights, squares, out=np.zeros_like(weights), where=(squares > 0) & (moved_there > 0))
    return clicks * worth, weights * worth


def _relevance(curve: Curve, clicks: Curve, exposures: Curve) -> Curve:
    """(groups,) clicks per look."""
    looks = exposures @ curve
    return np.asarray(np.divide(clicks.sum(axis=1), looks, out=np.zeros_like(looks), where=looks > 0))


def _likelihood(curve: Curve, clicks: Curve, exposures: Curve) -> float:
    """The logarithm of Poisson's, but for what all curves share."""
    expected = exposures * curve * _relevance(curve, clicks, exposures)[:, None]
    return float((clicks * np.log(np.maximum(expected, 1e-300)) - expected).sum())


@dataclass(frozen=True, slots=True)
class ClickedRow:
    """What one click teaches: in this row its target comes before the `others`, which were seen and left.

    `weight` makes up for how seldom the place is looked at: 1/θ, WEIGHT_MAX at most.
    """

    visitor_id: str
    shown_at: int
    target: str
    others: tuple[str, ...]
    weight: float


def collect_clicks(
    rows: Iterable[SeenRow], curve: Curve, kinds: Collection[str] = ("for_you",)
) -> list[ClickedRow]:
    """A case for each click on rows of these kinds; none where the curve is empty.

    Other clicks of the row are neither right nor wrong there.
    """
    found: list[ClickedRow] = []
    for row in rows:
        if row.shown.kind not in kinds or not row.clicked:
            continue
        items = list(row.items())
        others = tuple(item.product_id for _, item, clicked in items if not clicked)
        if not others:
            continue
        for place, item, clicked in items:
            if clicked and place < len(curve):
                weight = min(1 / float(curve[place]), WEIGHT_MAX)
                found.append(
                    ClickedRow(row.shown.visitor_id, row.shown.shown_at, item.product_id, others, weight)
                )
    return found


@dataclass(frozen=True, slots=True)
class Attention:
    """What came of showing a product to anybody: `looks` that it had (Σ θ of its places), and clicks."""

    looks: float = 0.0
    clicks: int = 0


def attention(rows: Iterable[SeenRow], curve: Curve) -> dict[str, Attention]:
    """By product, where it was shown as popular: to visitors of all tastes, unlike in rows made for one."""
    looks: defaultdict[str, float] = defaultdict(float)
    clicks: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        for place, item, clicked in row.items():
            if item.source == "popular" and place < len(curve):
                looks[item.product_id] += float(curve[place])
                clicks[item.product_id] += clicked
    return {product: Attention(looks[product], clicks[product]) for product in looks}


LOOKS_PRIOR: Final = 50.0  # how many looks the count of events is worth beside those that were seen
FACTOR_MAX: Final = 5.0


def popularity_factors(
    seen: dict[str, Attention], products: Sequence[str], counts: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(n,) what the popularity `counts` (n,) of products are multiplied by, 1/FACTOR_MAX to FACTOR_MAX.

    A count says how often a product is met, which rows themselves bring about. It is taken as a guess of the
    clicks per look, worth LOOKS_PRIOR looks, and what was seen corrects it: 1 for what was never seen.
    """
    told = [seen.get(product, Attention()) for product in products]
    looks = np.array([each.looks for each in told])
    clicks = np.array([each.clicks for each in told], dtype=np.float64)
    mean = float(looks @ counts) / max(float(looks.sum()), 1e-9)
    factors = np.ones(len(products))
    if clicks.sum() > 0 and mean > 0:
        guess = np.maximum(clicks.sum() / looks.sum() * counts / mean, 1e-9)
        factors = (clicks + LOOKS_PRIOR * guess) / ((looks + LOOKS_PRIOR) * guess)
    return np.clip(factors, 1 / FACTOR_MAX, FACTOR_MAX).astype(np.float32)
