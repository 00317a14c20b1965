"""The shop's rules as they hold at a moment: what is blocked, what is moved up or down, what is pinned. Pure.

What wins: a block beats a pin, and so does every hard filter of the request; a pin beats boosts and buries.
A boost finds nothing: it moves products that are among a row's candidates, which are the nearest.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, log
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from schemas import objectives
from schemas.objectives import Objective
from schemas.points import CATEGORY_SEPARATOR, category_prefixes
from schemas.products import Product
from schemas.rules import Rule
from services.recommender.index.port import Values, Where
from services.recommender.pipeline.scheduled import Schedule

T = TypeVar("T")
Floats = npt.NDArray[np.float32]
Pin = tuple[int, str, str]  # place from 1, product id, rule id
Named = tuple[str, str]  # a field of rules and one of its values: ("brands", "Ilse")
Strength = tuple[str, float]  # a rule's id, and the logarithm of its factor
Strengths = Mapping[str, float]

FACTOR_MAX: Final = 10_000.0  # of all rules together; their lowest is 1/FACTOR_MAX
TILT: Final = 1e-3  # of a list's width: by how much its last is lowered, so that no two are equal
BELOW: Final = 0.25  # of a list's width: how far its bottom lies below its last, so that the last can move
KNOWN_MAX: Final = 20_000  # products
OVERTAKES: Final = 1.001  # exponent of factors: of two on one place, the boosted is first and the buried last


UNMOVED: Final[Strengths] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """What the rules of one slot say at one moment."""

    blocked: Mapping[str, Values] = field(default_factory=dict)  # field of rules → values
    pins: tuple[Pin, ...] = ()  # in the order in which they take their places
    objective: Objective | None = None
    _movers: Mapping[Named, tuple[Strength, ...]] = field(default_factory=dict, repr=False)
    # Every row asks about hundreds of products, mostly the same: what was found out about each.
    _known: dict[str, tuple[Product, Strengths]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def empty(self) -> bool:
        """Whether rows are as they would be without rules."""
        return not (self.blocked or self.pins or self._movers or self.objective)

    @property
    def moves(self) -> bool:
        """Whether there is any boost or bury: without one every factor is 1."""
        return bool(self._movers)

    def where(self, where: Where) -> Where:
        """The filters, and beside them what is blocked: the index itself leaves it out."""
        if not self.blocked:
            return where
        told = self.blocked.get
        none: Values = frozenset()
        return replace(
            where,
            exclude=where.exclude | told("products", none),
            without_brand=where.without_brand | told("brands", none),
            without_category=where.without_category | told("categories", none),
            without_tag=where.without_tag | told("tags", none),
        )

    def factor(self, product: Product) -> float:
        """All boosts of a product, divided by its buries; 1 for none. Within 1/FACTOR_MAX and FACTOR_MAX."""
        strengths = self._strengths(product)
        if not strengths:
            return 1.0
        return min(max(exp(min(sum(strengths.values()), 99.0)), 1 / FACTOR_MAX), FACTOR_MAX)

    def factors(self, products: Iterable[Product]) -> Floats:
        """(n,) float32, as `apply_boosts` takes them."""
        return np.fromiter(map(self.factor, products), dtype=np.float32)

    def ids(self, product: Product) -> tuple[str, ...]:
        """The rules that boost or bury a product, sorted; pins name their rule themselves."""
        return tuple(sorted(self._strengths(product)))

    def _strengths(self, product: Product) -> Strengths:
        """Rule id → logarithm of its factor: each counts once, in however many ways it names the product."""
        if not self._movers:
            return UNMOVED
        known = self._known.get(product.product_id)
        if known is not None and known[0] is product:
            return known[1]
        found: dict[str, float] = {}
        for named in _names_of(product):
            found.update(self._movers.get(named, ()))
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        strengths = found or UNMOVED
        self._known[product.product_id] = (product, strengths)
        return strengths


NOTHING: Final = ActiveRules()


class RuleSchedule(Schedule[Rule]):
    """All rules, and what they come to for a slot."""

    def __init__(self) -> None:
        super().__init__(Rule.holds, lambda rule: msgspec.structs.replace(rule, note=None, updated_at=0))
        self._slots: Values = frozenset()  # what rules that hold now call slots
        self._in_force: dict[tuple[str, str], ActiveRules] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All, sorted by id."""
        return self.entries

    def active_rules(self, slot: str, kind: str, now: float) -> ActiveRules:
        """What holds at `now`, Unix ms, in a slot of this name and kind. Kept until that changes."""
        if not self._entries:
            return NOTHING
        self._renew(now)
        # Names come from pages: those that no rule knows are as good as none.
        key = (slot if slot in self._slots else "", kind if kind in self._slots else "")
        known = self._in_force.get(key)
        if known is None:
            here = [rule for rule in self._holding if not rule.slots or not set(key).isdisjoint(rule.slots)]
            known = self._in_force[key] = combine_rules(here)
        return known

    def _forget(self) -> None:
        self._in_force.clear()
        self._slots = frozenset(name for rule in self._holding for name in rule.slots)


def combine_rules(rules: Sequence[Rule]) -> ActiveRules:
    """What these rules, sorted by id, come to. A product pinned twice stands on the first of its places."""
    blocked: defaultdict[str, set[str]] = defaultdict(set)
    movers: defaultdict[Named, list[Strength]] = defaultdict(list)
    for rule in rules:
        if rule.action == "block":
            for name, value in _names_in(rule):
                blocked[name].add(value)
        elif rule.action in ("boost", "bury") and rule.factor != 1:
            strength = log(rule.factor) if rule.action == "boost" else -log(rule.factor)
            for named in dict.fromkeys(_names_in(rule)):
                movers[named].append((rule.rule_id, strength))
    objective = _objective(rules)
    if not (blocked or movers or objective) and not any(rule.action == "pin" for rule in rules):
        return NOTHING
    return ActiveRules(
        {name: frozenset(values) for name, values in blocked.items()},
        _pins(rules),
        objective,
        {named: tuple(strengths) for named, strengths in movers.items()},
    )


def _objective(rules: Sequence[Rule]) -> Objective | None:
    """Of the rule that is most about this row and this moment, None where none has any."""
    found = [rule for rule in rules if rule.action == "objective" and rule.objective is not None]
    if not found:
        return None
    best = min(found, key=lambda rule: (not rule.slots, -(rule.starts_at or 0), rule.rule_id))
    return objectives.parse(best.objective or "")


def _pins(rules: Sequence[Rule]) -> tuple[Pin, ...]:
    wanted = [
        (place, product_id, rule.rule_id)
        for rule in rules
        if rule.action == "pin"
        for place, product_id in enumerate(rule.products, start=rule.position)
    ]
    first: dict[str, Pin] = {}
    for pin in sorted(wanted, key=lambda pin: (pin[0], pin[2])):
        first.setdefault(pin[1], pin)
    return tuple(first.values())


def apply_pins(
    row: Sequence[T], pins: Sequence[tuple[int, T]], k: int, key: Callable[[T], Hashable]
) -> list[T]:
    """A row of at most k with pins on their places, from 1; of two on one place the later stands behind.

    What is pinned and in the row already is moved. A pin beyond the k-th place changes nothing; one beyond
    the end of a row that is short stands at its end. Things are the same when their `key` is.
    """
    at: dict[int, T] = {}
    pinned: set[Hashable] = set()
    for place, each in pins:
        free = next(spot for spot in count(place) if spot not in at)
        if free <= k and key(each) not in pinned:
            at[free] = each
            pinned.add(key(each))
    rest = [each for each in row if key(each) not in pinned][: k - len(at)]
    found: list[T] = []
    others, later = iter(rest), [at[place] for place in sorted(at)]
    for place in range(1, len(rest) + len(at) + 1):
        if place in at:
            found.append(later.pop(0))
        elif (other := next(others, None)) is not None:
            found.append(other)
    return [*found, *later]


def apply_boosts(scores: Floats, factors: Floats) -> Floats:
    """(n,) scores of one list after its (n,) factors, all > 0, on the scale that the scores have.

    A factor multiplies what a score stands above the list's bottom, and divides the product's place; the one
    that moves it less counts. So twice as much is never more than half the place – where few scores are high
    and many alike –, and never across a gap in relevance – where the next better products are much better.
    A factor of 100 means practically first, one of 1/100 last, whatever the scores' sign and scale.

    Products without rules keep their scores (but for TILT) and what these weigh against each other; what is
    moved beyond the first or the last stands off by at most the list's width. Of two with one factor the
    better score stays the better, of two with one score the greater factor is; factors of 1 change nothing.
    """
    length = len(scores)
    if bool(np.all(factors == 1)):
        return scores
    best_first = np.argsort(-scores, kind="stable")
    curve = scores[best_first].astype(np.float64)
    width = max(curve[0] - curve[-1], 0.1 * max(abs(curve[0]), abs(curve[-1]))) or 1.0
    strength = np.clip(factors[best_first].astype(np.float64), 1 / FACTOR_MAX, FACTOR_MAX)
    places = np.searchsorted(-curve, -curve) + 1.0  # equal scores stand on one place
    wanted = places / strength**OVERTAKES
    by_place = np.interp(wanted, np.arange(1.0, length + 1), curve)
    by_place += width * (np.maximum(1 - wanted, 0) - np.maximum(1 - length / wanted, 0))
    bottom = curve[-1] - BELOW * width
    by_score = bottom + (curve - bottom) * strength
    told = np.where(strength >= 1, np.minimum(by_place, by_score), np.maximum(by_place, by_score))
    order = np.lexsort((wanted, -told))
    found = np.empty(length, dtype=np.float32)
    found[best_first[order]] = told[order] - TILT * width * np.arange(length) / length
    return found


def _names_in(rule: Rule) -> Iterable[Named]:
    """All that a rule names, written as products have it."""
    yield from (("products", each) for each in rule.products)
    yield from (("brands", each) for each in rule.brands)
    yield from (("categories", each.rstrip(CATEGORY_SEPARATOR)) for each in rule.categories)
    yield from (("tags", each) for each in rule.tags)


def _names_of(product: Product) -> Iterable[Named]:
    """All by which a rule may name a product."""
    yield "products", product.product_id
    if product.brand is not None:
        yield "brands", product.brand
    yield from (("categories", each) for each in category_prefixes(product.category))
    yield from (("tags", each) for each in product.tags)
