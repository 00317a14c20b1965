"""Numbers as points on a half circle: a dot product of two points measures how near the numbers are.

A number x in 0..1 becomes (cos πx, sin πx). Equal numbers have the product 1, the two ends −1; the product
with (−1, 0), the point of 1, grows with x: "more of it" as a query.
"""

from math import cos, log, pi, sin
from typing import Final

import numpy as np

from schemas.vectors import Vector

PRICE_LOW: Final = 1.0  # and below: the start of the half circle, in the product's own currency
PRICE_HIGH: Final = 10_000.0  # and above: its end; a price ten times as high lies 45° further


def point(share: float) -> Vector:
    """(2,) the point of a number, which is held to 0..1."""
    angle = pi * min(max(share, 0.0), 1.0)
    return np.array([cos(angle), sin(angle)], dtype=np.float32)


def price_point(price: float) -> Vector:
    """(2,) the point of a price on a log scale: 10 to 20 is as far as 100 to 200."""
    return point(log(max(price, PRICE_LOW) / PRICE_LOW) / log(PRICE_HIGH / PRICE_LOW))
