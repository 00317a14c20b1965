"""What the demo shop sells: each kind of product with its place in the shop, its price and its words."""

from dataclasses import dataclass
from typing import Final

LARGE: Final = "-640"  # behind a picture's name: the same at twice the size, for large and fine screens

PEOPLE: Final = ("Women", "Men", "Kids")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of product. `price` is the middle of its range in EUR; `tops` its top-level categories."""

    name: str
    section: str
    tops: tuple[str, ...]
    price: float
    materials: tuple[str, ...]
    sentences: tuple[str, ...]


def _clothes(name: str, section: str, price: float, *materials: str, tops: tuple[str, ...] = PEOPLE) -> Kind:
    return Kind(
        name,
        section,
        tops,
        price,
        materials,
        (
            "Cut for an easy fit that moves with you.",
            "Made to be worn often and washed without worry.",
            "Finished with careful seams and a soft hand.",
            "A piece to build the week around.",
        ),
    )


def _home(name: str, section: str, price: float, *materials: str) -> Kind:
    return Kind(
        name,
        section,
        ("Home",),
        price,
        materials,
        (
            "Brings colour to a quiet corner.",
            "Each one differs a little from the next.",
            "At home on a shelf, a table or beside the sofa.",
            "Simple lines, made to stay.",
        ),
    )


def _outdoor(name: str, section: str, price: float, *materials: str) -> Kind:
    return Kind(
        name,
        section,
        ("Outdoor",),
        price,
        materials,
        (
            "Light enough to take along, sturdy enough to keep.",
            "Tried on wet trails and windy hills.",
            "Packs down small and is ready at once.",
            "Repairs are free for as long as you own it.",
        ),
    )


KINDS: Final = (
    _clothes("t-shirt", "Tops", 24, "cotton", "organic cotton", "jersey"),
    _clothes("shirt", "Tops", 49, "linen", "poplin", "flannel"),
    _clothes("sweater", "Knitwear", 69, "merino wool", "lambswool", "cotton knit"),
    _clothes("hoodie", "Knitwear", 59, "brushed cotton", "fleece"),
    _clothes("jacket", "Jackets & coats", 119, "twill", "denim", "recycled nylon"),
    _clothes("coat", "Jackets & coats", 189, "wool", "gabardine"),
    _clothes("dress", "Dresses & skirts", 79, "viscose", "linen", "crêpe", tops=("Women", "Kids")),
    _clothes("skirt", "Dresses & skirts", 54, "twill", "pleated satin", "denim", tops=("Women", "Kids")),
    _clothes("trousers", "Trousers & shorts", 74, "chino cotton", "wool blend", "linen"),
    _clothes("shorts", "Trousers & shorts", 39, "cotton", "ripstop"),
    _clothes("sneakers", "Shoes", 89, "canvas", "suede", "knit mesh"),
    _clothes("boots", "Shoes", 149, "leather", "nubuck", "rubber"),
    _clothes("sandals", "Shoes", 49, "leather", "cork", "webbing"),
    _clothes("hat", "Accessories", 39, "felt", "straw", tops=("Women", "Men")),
    _clothes("cap", "Accessories", 25, "cotton twill", "corduroy"),
    _clothes("scarf", "Accessories", 35, "wool", "cashmere blend", "silk", tops=("Women", "Men")),
    _clothes("bag", "Bags", 99, "leather", "canvas", tops=("Women",)),
    _clothes("watch", "Accessories", 129, "steel", "leather", tops=("Women", "Men")),
    _clothes("glasses", "Accessories", 79, "acetate", "metal", tops=("Women", "Men")),
    _home("lamp", "Lighting", 89, "linen shade", "paper shade", "brass"),
    _home("vase", "Decoration", 34, "stoneware", "glass", "porcelain"),
    _home("clock", "Decoration", 45, "oak", "enamel"),
    _home("plant pot", "Decoration", 22, "terracotta", "stoneware"),
    _home("cushion", "Textiles", 29, "linen", "velvet", "wool"),
    _home("rug", "Textiles", 159, "wool", "jute", "cotton"),
    _home("mug", "Kitchen", 14, "stoneware", "porcelain", "enamel"),
    _home("chair", "Furniture", 139, "beech", "oak", "plywood"),
    _outdoor("backpack", "Packs", 95, "ripstop nylon", "waxed canvas"),
    _outdoor("tent", "Camping", 249, "silnylon", "polycotton"),
    _outdoor("sleeping bag", "Camping", 149, "down", "recycled fill"),
    _outdoor("bottle", "On the way", 25, "steel", "glass"),
    _outdoor("umbrella", "On the way", 35, "recycled polyester", "nylon"),
)

BRANDS: Final = (
    "Almquist", "Birk & Loft", "Casa Verde", "Dunmore", "Elvada", "Fjellby", "Gaspard", "Hollin", "Ilse",
    "Jorvik", "Kestrel", "Lumen", "Marlow", "Nordhus", "Osier", "Pellham", "Quillon", "Ravel", "Solberg",
    "Tamsin", "Umbra & Co", "Vanterre", "Wexley", "Yarrow",
)  # fmt: skip
NAMES: Final = (
    "Alder", "Bay", "Cedar", "Dune", "Ember", "Fern", "Grove", "Harbour", "Isle", "Juniper", "Knoll", "Lark",
    "Meadow", "North", "Oak", "Pine", "Quay", "Reed", "Sand", "Tide", "Union", "Vale", "Willow", "Yard",
)  # fmt: skip
