"""A product as a row shows it."""

from schemas.live import Cause, RecommendedItem, Source
from schemas.products import Product


def item(
    product: Product,
    score: float,
    source: Source,
    why: str,
    *,
    cause: Cause | None = None,
    parts: dict[str, float] | None = None,
    rules: tuple[str, ...] = (),
) -> RecommendedItem:
    """With what a page needs to draw it, and why it is there."""
    return RecommendedItem(
        product_id=product.product_id,
        score=round(score, 4),
        source=source,
        why=why,
        name=product.name,
        price=product.price,
        currency=product.currency,
        availability=product.availability,
        category=product.category,
        brand=product.brand,
        image_url=product.image_url,
        url=product.url,
        cause=cause,
        parts=parts,
        rules=rules,
    )
