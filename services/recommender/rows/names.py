"""What two products have in common by name: of hashed names a cosine is only near to it. Pure.

Two different types have a cosine of 0 ± 0.18. That is as much as lies between products that visits speak for
strongly and those that they hardly do, so rows of what goes with a product compare the names themselves.
"""

from collections.abc import Mapping
from typing import Final

from schemas.products import Product
from services.model.profiles import Weights

NAMES: Final = ("category", "brand", "type")


def shared(one: Product, other: Product) -> Mapping[str, float]:
    """Each 0..1: how much of the longer category path is the same from the top on, same brand, same type."""
    steps = max(len(one.category), len(other.category))
    pairs = zip(one.category, other.category, strict=False)
    same = next(
        (depth for depth, (a, b) in enumerate(pairs) if a != b), min(len(one.category), len(other.category))
    )
    return {
        "category": same / steps if steps else 0.0,
        "brand": float(one.brand is not None and one.brand == other.brand),
        "type": float(one.type is not None and one.type == other.type),
    }


def by_name(weights: Weights) -> dict[str, float]:
    """The weights of names, of those that count at all."""
    return {name: weights[name] for name in NAMES if weights.get(name)}


def nameless(weights: Weights) -> dict[str, float]:
    """All other weights."""
    return {name: weight for name, weight in weights.items() if name not in NAMES}
