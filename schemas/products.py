"""A product as the shop describes it, on the `products` topic (JSON); a tombstone means it is gone."""

from typing import Annotated, Final, Literal

import msgspec

from schemas import texts, times
from schemas.events import Amount, Currency, Millis, ProductId
from schemas.unreadable import read

Availability = Literal["in_stock", "out_of_stock", "preorder"]

MAX_BATCH_PRODUCTS: Final = 1_000
MAX_BATCH_BYTES: Final = 5 * 1024 * 1024
MAX_PRODUCT_BYTES: Final = 512 * 1024  # with its vectors still under Kafka's 1 MB a message

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


SALE: Final = "sale"  # the tag of what costs less for the time being


class PriceChange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """From `at` on (Unix ms) the product costs `price`, in its own currency; `on_sale` is its tag `sale`."""

    at: Millis
    price: Amount
    on_sale: bool = False


class Product(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One product. `category` is a path, top first; `updated_at` is Unix time in ms, and the newest wins.

    `image_url` is http(s), a data: URL, or a path inside the catalogue's own folder. `price` is that of
    `updated_at`; `price_changes`, earliest first, tell when a sale begins and ends.
    """

    product_id: ProductId
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    price: Amount
    currency: Currency
    availability: Availability
    updated_at: Millis
    category: tuple[Word, ...] = ()
    description: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    brand: Word | None = None
    type: Word | None = None
    image_url: str | None = None
    url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    tags: tuple[Word, ...] = ()
    markets: tuple[Word, ...] = ()
    popularity: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    price_changes: Annotated[tuple[PriceChange, ...], msgspec.Meta(max_length=16)] = ()

    @property
    def top_category(self) -> str:
        """The first step of the category path, or an empty text."""
        return self.category[0] if self.category else ""


def check(product: Product) -> str | None:
    """Why a well-formed product still makes no sense, as a sentence for its sender, or None."""
    named = [
        ("product_id", product.product_id),
        ("brand", product.brand),
        ("type", product.type),
        ("image_url", product.image_url),
        ("url", product.url),
        *(("category", each) for each in product.category),
        *(("tags", each) for each in product.tags),
        *(("markets", each) for each in product.markets),
    ]
    nonsense = texts.check_names(named) or times.check("updated_at", product.updated_at)
    return nonsense or (_check_changes(product.price_changes) if product.price_changes else None)


def _check_changes(changes: tuple[PriceChange, ...]) -> str | None:
    moments = [each.at for each in changes]
    if moments != sorted(moments):
        return "price_changes: are not in order: the earliest `at` comes first"
    return times.check("price_changes", moments[0])


def at_moment(product: Product, at: float) -> Product:
    """The product as it is at a moment (Unix ms): its price changes up to then have been made."""
    due = [each for each in product.price_changes if each.at <= at]
    if not due:
        return product
    tags = tuple(each for each in product.tags if each != SALE)
    return msgspec.structs.replace(
        product,
        price=due[-1].price,
        tags=(*tags, SALE) if due[-1].on_sale else tags,
        price_changes=product.price_changes[len(due) :],
    )


def clean(product: Product) -> Product:
    """The product without control characters in what people read."""
    name, description = texts.clean(product.name) or product.name, texts.clean(product.description)
    if (name, description) == (product.name, product.description):
        return product
    return msgspec.structs.replace(product, name=name, description=description)


def clamp(product: Product, received_at: int) -> Product:
    """The product; a clock over 5 minutes ahead of `received_at` (Unix ms) is set back to it.

    Else a time of 2099 would win over every change until then.
    """
    updated_at = times.clamp(product.updated_at, received_at)
    return (
        product
        if updated_at == product.updated_at
        else msgspec.structs.replace(product, updated_at=updated_at)
    )


_decoder = msgspec.json.Decoder(Product)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Product:
    """A product from the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(product: Product) -> bytes:
    """The bytes of one message on `products`."""
    return _encoder.encode(product)
