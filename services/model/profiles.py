"""How much each part of a score counts, by kind of row (DESIGN §3): the defaults of every request.

All but `behaviour` are segments of the content vector: Σ weight · cosine. `behaviour` counts what visits say.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Weights = Mapping[str, float]

BEHAVIOUR: Final = "behaviour"

# Picture and text share their weight; the caption is the picture's space reached by words, for searches.
FOR_YOU: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 1.0, "type": 1.0, "popularity": 0.0, BEHAVIOUR: 1.2, "image": 0.4, "text": 0.4}
)
SIMILAR: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 0.3, "type": 1.0, "popularity": 0.1, BEHAVIOUR: 1.0, "image": 0.5, "text": 0.5}
)
ALSO_LIKED: Final[Weights] = MappingProxyType({"popularity": 0.1, BEHAVIOUR: 1.0})
# What goes with a product is liked together with it, and is of another topic, or another type.
COMPLEMENT_TOPIC: Final[Weights] = MappingProxyType(
    {"category": -1.0, "brand": 0.2, "popularity": 0.1, BEHAVIOUR: 1.0}
)
COMPLEMENT_TYPE: Final[Weights] = MappingProxyType({"type": -1.0, "brand": 0.2, BEHAVIOUR: 1.0})
# Words reach pictures through the caption's tower; `session` is how much the visitor's interests count.
SEARCH: Final[Weights] = MappingProxyType(
    {"text": 1.0, "image": 0.7, "caption": 0.5, "category": 0.0, "brand": 0.0, "type": 0.0, "price": 0.0,
     "popularity": 0.1, "session": 0.3}
)  # fmt: skip

PROFILES: Final[Mapping[str, Weights]] = MappingProxyType(
    {
        "for_you": FOR_YOU,
        "similar": SIMILAR,
        "also_liked": ALSO_LIKED,
        "complement_topic": COMPLEMENT_TOPIC,
        "complement_type": COMPLEMENT_TYPE,
        "search": SEARCH,
    }
)
