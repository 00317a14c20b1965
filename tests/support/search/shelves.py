"""Small shops that are written by hand, a row a product."""

from collections.abc import Sequence

from schemas.products import Product

Row = tuple[str, str, str, float, str]  # brand, path, type, price, tags


def stock(rows: Sequence[Row], *, prefix: str, currency: str) -> list[Product]:
    """The products, numbered from 0 behind the prefix."""
    return [
        Product(
            product_id=f"{prefix}{number:02d}",
            name=f"{brand} {kind}",
            price=price,
            currency=currency,
            availability="in_stock",
            updated_at=0,
            category=tuple(path.split("/")),
            brand=brand,
            type=kind,
            tags=tuple(tags.split(", ")),
        )
        for number, (brand, path, kind, price, tags) in enumerate(rows)
    ]
