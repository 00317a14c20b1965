"""What a visitor's purchases turn: what is not wanted again so soon, what is used up by now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp2
from typing import Final

import numpy as np

from schemas.live import Cause
from schemas.products import Product
from schemas.sessions import AGAINST, Session
from schemas.times import DAY_MS
from services.model.repurchase import Repeats, damping, is_due
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints
from services.recommender.catalogue import Catalogue, shelf_of
from services.recommender.pipeline.explanation import cause_of

UNDAMPED: Final = 0.98  # a factor from here on is none
LEAST: Final = 0.25  # products below it are left out: they would stand where a row has nothing better
BACK: Final = 0.5  # of the damping stays with each later sign that the visitor looks for another one
GIVERS_MAX: Final = 3  # newest purchases that others go with
GIVING_HALF_LIFE_DAYS: Final = 14.0
GIVING_DAYS: Final = 60.0
DUE_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class BoughtProduct:
    """A product that was bought, and the event as it is told. `share` is 1 at first and fades."""

    product: Product
    cause: Cause
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PurchaseEffects:
    """What follows from purchases for one row.

    `factors` are by shelf (see Catalogue.shelf_code), below 1; `givers` have others that go with them,
    `due` are used up by now.
    """

    factors: Mapping[int, float] = field(default_factory=dict)
    givers: tuple[BoughtProduct, ...] = ()
    due: tuple[BoughtProduct, ...] = ()

    def factors_of(self, shelves: Ints) -> Floats | None:
        """(n,) what scores of products on these shelves are multiplied by; None where all stay."""
        if not self.factors:
            return None
        found = np.ones(len(shelves), np.float32)
        for shelf, factor in self.factors.items():
            found[shelves == shelf] = factor
        return found


NO_EFFECTS: Final = PurchaseEffects()


def find_effects(session: Session, catalogue: Catalogue, repeats: Repeats, now: float) -> PurchaseEffects:
    """Of all purchases that the session remembers, at `now` (Unix ms).

    Of a shelf the newest purchase counts. Who looks for another of its kind after that is shown more of them
    again: with each such event half of what was taken comes back.
    """
    bought = _find_purchases(session, catalogue)
    if not bought:
        return NO_EFFECTS
    newest: dict[str, tuple[Product, int]] = {}
    for product, at in bought:
        if (shelf := shelf_of(product)) is not None:
            newest.setdefault(shelf, (product, at))
    later = _count_later(session, catalogue, {shelf: at for shelf, (_, at) in newest.items()})
    factors: dict[int, float] = {}
    for shelf, (product, at) in newest.items():
        factor = damping(product.type, at, now, repeats, _top(product))
        factor = 1 - (1 - factor) * BACK ** later[shelf]
        if factor < UNDAMPED and (code := catalogue.shelf_code(shelf)) != UNKNOWN:
            factors[code] = factor
    causes = {each.product_id: cause_of(each) for each in session.events if each.type == "purchase"}

    def tell(product: Product, at: int, share: float) -> BoughtProduct:
        cause = Cause(type="purchase", product_id=product.product_id, occurred_at=at)
        return BoughtProduct(product, causes.get(product.product_id, cause), share)

    ages = [(product, at, max(now - at, 0) / DAY_MS) for product, at in bought[:GIVERS_MAX]]
    givers = [
        tell(product, at, exp2(-age / GIVING_HALF_LIFE_DAYS))
        for product, at, age in ages
        if age <= GIVING_DAYS
    ]
    due = [tell(each, at, 1.0) for each, at in bought if is_due(each.type, at, now, repeats, _top(each))]
    return PurchaseEffects(factors, tuple(givers), tuple(due[:DUE_MAX]))


def _find_purchases(session: Session, catalogue: Catalogue) -> list[tuple[Product, int]]:
    """Products that were bought and when (Unix ms), the newest first."""
    found = [
        (product, 1000 * at)
        for digest, at in session.purchases.items()
        for product_id in catalogue.find_by_digest([digest])
        if (product := catalogue.get(product_id)) is not None
    ]
    return sorted(found, key=lambda each: (-each[1], each[0].product_id))


def _count_later(session: Session, catalogue: Catalogue, bought: Mapping[str, int]) -> dict[str, int]:
    """Shelf → how many events about another product of it came after its purchase."""
    counts = dict.fromkeys(bought, 0)
    earliest = min(bought.values(), default=0)
    for event in reversed(session.events):
        if event.occurred_at <= earliest:
            break
        if event.kind in AGAINST:
            continue
        product = catalogue.get(event.product_id)
        shelf = shelf_of(product) if product else None
        # The purchase itself lies within the second that it is remembered by.
        if shelf in counts and event.type != "purchase" and event.occurred_at > bought[shelf] + 1000:
            counts[shelf] += 1
    return counts


def _top(product: Product) -> str | None:
    return product.category[0] if product.category else None
