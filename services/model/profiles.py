"""How much each segment of the content vector counts, by kind of row (DESIGN §3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Weights = Mapping[str, float]

# Picture and text share their weight; the caption is the picture's space reached by words, for searches.
FOR_YOU: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 1.0, "type": 1.0, "popularity": 0.0, "image": 0.4, "text": 0.4}
)
SIMILAR: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 0.3, "type": 1.0, "popularity": 0.1, "image": 0.5, "text": 0.5}
)
