"""Which sessions wait for which products: events may come before the product's vector does."""

from collections import defaultdict
from collections.abc import Iterable


class PendingProducts:
    """Product id → the visitors whose session misses it, with the partition that each visitor lives in."""

    def __init__(self) -> None:
        self._visitors: defaultdict[str, dict[bytes, int]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._visitors)

    def wait(self, visitor: bytes, partition: int, missing: Iterable[str]) -> None:
        """Notes what a session misses."""
        for product_id in missing:
            self._visitors[product_id][visitor] = partition

    def pop_waiting(self, product_id: str) -> dict[bytes, int]:
        """The visitors who waited for a product, each with its partition; they wait no longer."""
        return self._visitors.pop(product_id, {})
