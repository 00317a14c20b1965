"""A third small shop, for the kind of sentences that people say to a seller of furniture; written by hand."""

from typing import Final

from schemas.products import Product
from tests.support.search.shelves import stock

# brand, category path, type, price, tags
_ROWS: Final = (
    ("Harbor House", "Living room/Sofas", "sofa", 899.0, "grey, velvet"),
    ("Oakmere", "Living room/Sofas", "sofa", 1499.0, "brown, leather"),
    ("Velda", "Living room/Sofas", "sectional", 1999.0, "beige, linen"),
    ("Velda", "Living room/Sofas", "armchair", 399.0, "green, velvet"),
    ("Oakmere", "Living room/Tables", "coffee table", 249.0, "walnut, round"),
    ("Lindqvist", "Living room/Tables", "side table", 89.0, "white, metal"),
    ("Lindqvist", "Living room/Tables", "tv stand", 329.0, "oak, white"),
    ("Harbor House", "Bedroom/Beds", "bed frame", 549.0, "queen, metal, black"),
    ("Oakmere", "Bedroom/Beds", "bed frame", 749.0, "king, oak"),
    ("Velda", "Bedroom/Beds", "headboard", 299.0, "king, velvet, blue"),
    ("Brightwell", "Bedroom/Mattresses", "mattress", 699.0, "queen, memory foam"),
    ("Brightwell", "Bedroom/Mattresses", "mattress", 399.0, "twin, memory foam"),
    ("Lindqvist", "Bedroom/Nightstands", "nightstand", 99.0, "white"),
    ("Harbor House", "Bedroom/Dressers", "dresser", 459.0, "white, wood"),
    ("Oakmere", "Dining/Dining tables", "dining table", 899.0, "walnut, wood, extendable"),
    ("Lindqvist", "Dining/Dining chairs", "dining chair", 119.0, "black, wood"),
    ("Velda", "Dining/Bar stools", "bar stool", 149.0, "black, metal"),
    ("Lindqvist", "Office/Desks", "desk", 219.0, "white, adjustable"),
    ("Brightwell", "Office/Office chairs", "office chair", 189.0, "black, mesh, ergonomic"),
    ("Oakmere", "Office/Bookcases", "bookcase", 279.0, "oak, wood"),
    ("Calder & Finch", "Bathroom/Faucets", "faucet", 129.0, "brass, matte black"),
    ("Calder & Finch", "Bathroom/Vanities", "vanity", 799.0, "white, marble"),
    ("Velda", "Bathroom/Mirrors", "mirror", 139.0, "round, gold"),
    ("Brightwell", "Bathroom/Textiles", "shower curtain", 29.0, "white, striped"),
    ("Brightwell", "Bathroom/Textiles", "towel", 15.0, "cotton, blue"),
    ("Calder & Finch", "Lighting/Ceiling", "pendant light", 119.0, "brass, glass"),
    ("Calder & Finch", "Lighting/Ceiling", "chandelier", 459.0, "crystal, gold"),
    ("Lindqvist", "Lighting/Lamps", "floor lamp", 99.0, "black, metal"),
    ("Lindqvist", "Lighting/Lamps", "table lamp", 49.0, "ceramic, blue"),
    ("Harbor House", "Decor/Rugs", "rug", 199.0, "wool, beige"),
    ("Harbor House", "Decor/Rugs", "rug", 149.0, "jute, round"),
    ("Brightwell", "Decor/Curtains", "curtain", 39.0, "blackout, grey"),
    ("Velda", "Decor/Pillows", "throw pillow", 25.0, "velvet, yellow"),
    ("Velda", "Decor/Clocks", "wall clock", 59.0, "black, metal"),
    ("Harbor House", "Kitchen/Cookware", "dutch oven", 129.0, "cast iron, red"),
    ("Harbor House", "Kitchen/Cookware", "frying pan", 49.0, "non-stick"),
    ("Brightwell", "Kitchen/Kettles", "kettle", 59.0, "stainless steel"),
    ("Oakmere", "Outdoor/Patio sets", "patio set", 999.0, "teak"),
    ("Oakmere", "Outdoor/Benches", "bench", 259.0, "teak"),
    ("Velda", "Outdoor/Planters", "planter", 39.0, "ceramic, white"),
)


def home() -> list[Product]:
    """Its products, in USD."""
    return stock(_ROWS, prefix="f", currency="USD")
