"""Messages of `products`, decoded, and the dead letters of those that are none."""

import msgspec

from schemas import deadletters, products
from schemas.products import MAX_PRODUCT_BYTES, Product
from services.embedder.refusals import BadProduct
from services.kafka import OutgoingMessage


def decoded(key: bytes | None, value: bytes) -> Product:
    """The product of a message. Raises BadProduct for what is none, or lies under another product's key."""
    if len(value) > MAX_PRODUCT_BYTES:
        raise BadProduct(f"a product has at most {MAX_PRODUCT_BYTES} bytes, this one {len(value)}")
    try:
        product = products.decode(value)
    except msgspec.MsgspecError as error:
        raise BadProduct(str(error)) from None
    if key != product.product_id.encode():
        raise BadProduct(f"the message's key is not the product_id {product.product_id!r}")
    return product


def dead_letter(
    key: bytes | None,
    raw: bytes | None,
    *,
    reason: str,
    stage: str,
    source: str,
    failed_at: int,
    attempts: int = 1,
) -> OutgoingMessage:
    """A message as it came, with why it, or a part of it, was not taken; `failed_at` is Unix ms."""
    if raw is not None and len(raw) > MAX_PRODUCT_BYTES:  # with the headers it might be too large for Kafka
        raw = raw[:MAX_PRODUCT_BYTES]
        reason += f"; here are the first {MAX_PRODUCT_BYTES} bytes"
    headers = deadletters.headers(
        reason=reason,
        service="embedder",
        stage=stage,
        source=source,
        failed_at=failed_at,
        attempts=attempts,
    )
    return key, raw, [*headers]
