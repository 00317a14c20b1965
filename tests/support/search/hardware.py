"""A second small shop, of another trade than the demo's, written by hand."""

from typing import Final

from schemas.products import Product
from tests.support.search.shelves import stock

# brand, category path, type, price, tags
_ROWS: Final = (
    ("Bosch", "Power tools/Drills", "cordless drill", 129.0, "cordless, brushless, 18V, green"),
    ("Makita", "Power tools/Drills", "cordless drill", 149.0, "cordless, brushless, 18V, turquoise"),
    ("DeWalt", "Power tools/Drills", "hammer drill", 179.0, "cordless, 20V, yellow"),
    ("Black & Decker", "Power tools/Drills", "hammer drill", 59.0, "corded, orange"),
    ("Bosch", "Power tools/Saws", "jigsaw", 89.0, "corded, green"),
    ("Makita", "Power tools/Saws", "circular saw", 159.0, "corded, turquoise"),
    ("DeWalt", "Power tools/Saws", "circular saw", 219.0, "cordless, brushless, yellow"),
    ("Black & Decker", "Power tools/Sanders", "sander", 45.0, "corded, orange"),
    ("Stanley", "Hand tools/Hammers", "hammer", 19.0, "steel, yellow"),
    ("Estwing", "Hand tools/Hammers", "claw hammer", 39.0, "steel, leather grip, blue"),
    ("Wiha", "Hand tools/Screwdrivers", "screwdriver", 9.0, "insulated, magnetic, red"),
    ("Stanley", "Hand tools/Screwdrivers", "screwdriver set", 24.0, "magnetic, yellow"),
    ("Knipex", "Hand tools/Pliers", "pliers", 29.0, "insulated, chrome vanadium, red"),
    ("Stanley", "Hand tools/Measuring", "tape measure", 12.0, "magnetic, yellow"),
    ("Würth", "Hand tools/Wrenches", "wrench", 15.0, "chrome vanadium"),
    ("Gardena", "Garden/Watering", "hose", 35.0, "rubber, frost-proof, orange"),
    ("Gardena", "Garden/Watering", "watering can", 14.0, "plastic, grey"),
    ("Bosch", "Garden/Lawn care", "lawn mower", 249.0, "cordless, green"),
    ("Fiskars", "Garden/Cutting", "shears", 32.0, "steel, left-handed, orange"),
    ("Fiskars", "Garden/Cutting", "axe", 55.0, "steel, black"),
    ("3M", "Safety/Eyes & ears", "safety glasses", 11.0, "clear, anti-fog"),
    ("3M", "Safety/Eyes & ears", "ear defenders", 21.0, "yellow"),
    ("Showa", "Safety/Hands", "work gloves", 8.0, "leather, latex-free, beige"),
    ("Showa", "Safety/Hands", "work gloves", 6.0, "rubber, blue"),
    ("Next", "Paint/Brushes & rollers", "paintbrush", 5.0, "natural bristle"),
    ("Purdy", "Paint/Brushes & rollers", "paintbrush", 13.0, "synthetic bristle, white"),
    ("Purdy", "Paint/Brushes & rollers", "paint roller", 9.0, "lint-free, white"),
    ("Würth", "Fixings", "screws", 7.0, "stainless steel, countersunk"),
    ("Würth", "Fixings", "wall plugs", 4.0, "plastic, grey"),
)


def hardware() -> list[Product]:
    """Its products, in EUR."""
    return stock(_ROWS, prefix="h", currency="EUR")
