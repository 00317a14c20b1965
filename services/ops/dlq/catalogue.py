"""Whether a product among the dead letters has been overtaken on `products`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from schemas import products
from schemas.products import Product
from schemas.topics import PRODUCTS
from services.history import lookup
from services.history.past import HistoryReader, PastMessage
from services.history.timerange import shown
from services.ops.dlq.letters import Letter, Place

BEFORE_ALL: Final = Place(0, -1)


@dataclass(frozen=True, slots=True)
class _Lying:
    """A message of `products`; without a product it is a tombstone."""

    place: Place
    at: int
    raw: bytes | None
    product: Product | None


class Overtaking:
    """The newest of each product, and its deletion, among the messages that lie on `products` now."""

    def __init__(self, messages: Iterable[PastMessage]) -> None:
        self._newest: dict[bytes, _Lying] = {}
        self._gone: dict[bytes, _Lying] = {}
        for message in messages:
            self._take(message.key() or b"", message)

    def _take(self, key: bytes, message: PastMessage) -> None:
        place, raw = Place(message.partition() or 0, message.offset() or 0), message.value()
        at = message.timestamp()[1]
        if raw is None:
            self._gone[key] = _Lying(place, at, None, None)
            return
        try:
            product = products.decode(raw)
        except msgspec.MsgspecError:
            return
        newest = self._newest.get(key)
        if newest is None or newest.product is None or product.updated_at >= newest.product.updated_at:
            self._newest[key] = _Lying(place, at, raw, product)

    def of(self, letter: Letter, product: Product) -> str | None:
        """Why a letter's product is not to be put back: behind what is newer it would win by compaction."""
        key = product.product_id.encode()
        gone, newest = self._gone.get(key), self._newest.get(key)
        if gone is not None and _is_later(gone, letter):
            return f"the product was deleted since, {shown(gone.at)}"
        if newest is None or newest.product is None:
            return None
        updated_at = newest.product.updated_at
        if updated_at > product.updated_at:
            return f"a newer one lies on products: updated {shown(updated_at)}"
        if updated_at == product.updated_at and newest.raw != letter.raw and _is_later(newest, letter):
            return "a later one with the same updated_at lies on products"
        return None


def overtaking(reader: HistoryReader, product_ids: Collection[str]) -> Overtaking:
    """Looks through `products` for these."""
    keys = [product_id.encode() for product_id in product_ids]
    return Overtaking(lookup.of_keys(reader, PRODUCTS, keys))


def _is_later(lying: _Lying, letter: Letter) -> bool:
    """By place where both lay on one partition, else by time."""
    place = letter.place or BEFORE_ALL
    if place.partition == lying.place.partition and place is not BEFORE_ALL:
        return lying.place.offset > place.offset
    return lying.at >= letter.failed_at
