"""What visits hold beside a product more often than chance would: what is liked beside it, what goes with it.

Lift is how often two products stand in one visit over how often they would if neither knew of the other (Brin
et al., SIGMOD 1997). What is popular stands beside everything, and its lift is 1.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.model.behaviour import Behaviour
from services.model.content import Weights
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints
from services.recommender.pipeline.kinds import KindTable
from services.recommender.pipeline.request import SharedLookups

# On RetailRocket's history, rows of 12: the next product is in 24.3 % of them, by counts alone in 24.1 %; and
# the product that is in most of them in 4.4 % instead of 8.8 %. With 1.0 they are 24.7 % and 6.9 %, but then
# one product is on 7 of 30 pages of the demo instead of 5.
LIFT_PRIOR: Final = 0.1  # visits at a lift of 1
# By the demo's shoppers' own table 78 % of what goes with a product of another category is true; with 1.0
# 84 %, but one product is then in more rows.
KIND_PRIOR: Final = 0.5  # visits at the lift of the two kinds
KIND_VISITS: Final = 3  # that hold both kinds: with fewer nothing is said to go together
PAIR_VISITS: Final = 2  # that hold both products, where a kind is not known
OTHER_AUDIENCE: Final = 0.5  # what a shirt for men counts beside trousers for women

Mask = npt.NDArray[np.bool_]


class Beside(NamedTuple):
    """What visits hold beside a product: products (n,) by the model's numbers, in how many of its visits each
    is, and how many would have it by chance."""

    numbers: Ints
    visits: Ints
    expected: Floats


def find_beside(model: Behaviour | None, product_id: str, shared: SharedLookups) -> Beside | None:
    """What visits hold beside a product; None for nothing."""
    if model is None or not model.has_witnesses(product_id):
        return None
    return shared.once(("beside", model, product_id), lambda: _count_beside(model, product_id))


def _count_beside(model: Behaviour, product_id: str) -> Beside | None:
    [number] = model.numbers_of([product_id]).tolist()
    numbers, visits, of = model.count_beside(number)
    if not len(numbers):
        return None
    expected = np.float32(of / model.visits) * model.support[numbers]
    return Beside(numbers, visits, expected)


def estimate_lift(beside: Beside, prior: float, expected_lift: Floats | float) -> Floats:
    """(n,) visits that hold both beside those that chance would give, each with so many of the prior lift.

    The mean of a Gamma–Poisson posterior (DuMouchel 1999): rare products have the prior's lift.
    """
    weight = np.float32(prior)
    found: Floats = (beside.visits + weight * expected_lift) / (beside.expected + weight)
    return found


def judge_complements(table: KindTable, number: int, beside: Beside) -> tuple[Mask, Floats]:
    """(n,) which of them go with a product, and the lift of each."""
    kind, kinds = int(table.kind[number]), table.kind[beside.numbers]
    is_known = (kinds != UNKNOWN) & (kind != UNKNOWN)
    by_kind = np.ones(len(kinds), np.float32)
    goes = (beside.visits >= PAIR_VISITS) & (estimate_lift(beside, LIFT_PRIOR, 1.0) > 1)
    if kind != UNKNOWN:
        by_kind[is_known] = table.lift[kind, kinds[is_known]]
        goes[is_known] = (by_kind[is_known] > 1) & (table.visits[kind, kinds[is_known]] >= KIND_VISITS)
    return goes, estimate_lift(beside, KIND_PRIOR, by_kind)


def is_other(table: KindTable, number: int, others: Ints, weights: Weights) -> Mask:
    """(n,) which are of another category, or type, than a product: where their weight is against the same."""
    found = np.ones(len(others), np.bool_)
    for name, column in (("category", table.topic), ("type", table.kind)):
        own = int(column[number])
        if weights.get(name, 0.0) < 0 and own != UNKNOWN:
            found &= column[others] != own
    return found


def audience_factors(table: KindTable, number: int, others: Ints) -> Floats:
    """(n,) less for what is for other people than a product; what is for everyone goes with all."""
    own, theirs = int(table.audience[number]), table.audience[others]
    differ = (theirs != 0) & ((theirs & own) == 0) if own else np.zeros(len(others), np.bool_)
    return np.where(differ, np.float32(OTHER_AUDIENCE), np.float32(1))


def scale_strengths(values: Floats) -> Floats:
    """(n,) of values of at least 0 the shares of the greatest."""
    most = values.max(initial=0.0)
    return values / most if most > 0 else np.ones_like(values)
