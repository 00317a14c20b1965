"""Products by id off the topic `products`, only those that are asked for."""

from collections.abc import Collection

import msgspec

from schemas import products
from schemas.products import Product
from schemas.topics import PRODUCTS
from services.history import lookup
from services.history.past import HistoryReader, PastMessage
from services.history.progress import Progress


def named(
    reader: HistoryReader, product_ids: Collection[str], progress: Progress, *, everywhere: bool = False
) -> dict[str, Product]:
    """Those of the products that the shop has now. Raises BrokerAway, TopicMissing."""
    keys = {product_id.encode() for product_id in product_ids}
    found: dict[str, Product] = {}
    for message in lookup.of_keys(reader, PRODUCTS, keys, progress=progress, everywhere=everywhere):
        product_id = (message.key() or b"").decode()
        if message.value() is None:
            found.pop(product_id, None)
        elif (product := readable(message)) is not None:
            known = found.get(product_id)
            if known is None or known.updated_at <= product.updated_at:
                found[product_id] = product
    return found


def readable(message: PastMessage) -> Product | None:
    """The product of a message; None for a tombstone, and for what is none or another's."""
    try:
        product = products.decode(message.value() or b"")
    except msgspec.MsgspecError:
        return None
    return product if product.product_id.encode() == message.key() else None
