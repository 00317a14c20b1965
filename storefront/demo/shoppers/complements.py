"""What goes with what, by kind: a hand-made table that the simulated shoppers act by."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Kind → the kinds that go with it, and how much each draws. Some lie in another part of the shop on purpose:
# who looks at boots may need a backpack.
GOES_WITH: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "t-shirt": {"shorts": 3, "cap": 2, "sneakers": 2, "bottle": 1},
        "shirt": {"trousers": 4, "watch": 2, "glasses": 1, "jacket": 1},
        "sweater": {"scarf": 3, "trousers": 2, "skirt": 1, "mug": 1},
        "hoodie": {"sneakers": 3, "cap": 2, "shorts": 1, "backpack": 2},
        "jacket": {"trousers": 2, "boots": 2, "scarf": 2, "umbrella": 2},
        "coat": {"scarf": 4, "boots": 3, "hat": 2, "umbrella": 2},
        "dress": {"sandals": 4, "bag": 3, "hat": 1, "glasses": 1},
        "skirt": {"t-shirt": 2, "sweater": 2, "bag": 2, "boots": 1},
        "trousers": {"shirt": 4, "sneakers": 2, "watch": 1, "sweater": 1},
        "shorts": {"t-shirt": 3, "sandals": 2, "cap": 2, "bottle": 1},
        "sneakers": {"hoodie": 2, "shorts": 2, "trousers": 2, "backpack": 1},
        "boots": {"coat": 3, "jacket": 2, "backpack": 2, "umbrella": 1},
        "sandals": {"dress": 3, "shorts": 2, "hat": 2, "glasses": 1},
        "hat": {"dress": 2, "coat": 2, "glasses": 2, "scarf": 1},
        "cap": {"t-shirt": 3, "hoodie": 2, "backpack": 2},
        "scarf": {"coat": 4, "hat": 2, "sweater": 2},
        "bag": {"dress": 3, "watch": 2, "glasses": 1, "umbrella": 1},
        "watch": {"shirt": 3, "glasses": 2, "bag": 2},
        "glasses": {"hat": 2, "watch": 2, "sandals": 1},
        "lamp": {"cushion": 3, "rug": 3, "chair": 2},
        "vase": {"plant pot": 2, "lamp": 2, "rug": 1},
        "clock": {"lamp": 2, "chair": 2, "mug": 1},
        "plant pot": {"vase": 3, "mug": 1, "chair": 1},
        "cushion": {"rug": 3, "chair": 2, "lamp": 2, "sleeping bag": 0.5},
        "rug": {"cushion": 3, "lamp": 2, "chair": 2},
        "mug": {"plant pot": 2, "bottle": 2, "sweater": 1},
        "chair": {"cushion": 4, "lamp": 2, "rug": 2},
        "backpack": {"bottle": 4, "sleeping bag": 2, "cap": 2, "boots": 2},
        "tent": {"sleeping bag": 5, "backpack": 3, "bottle": 2, "jacket": 1},
        "sleeping bag": {"tent": 4, "backpack": 3, "mug": 1, "hoodie": 1},
        "bottle": {"backpack": 4, "cap": 1, "shorts": 1, "umbrella": 1},
        "umbrella": {"coat": 3, "boots": 2, "bag": 1, "bottle": 1},
    }
)
