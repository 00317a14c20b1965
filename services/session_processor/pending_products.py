"""Which sessions wait for which products: events may come before the product's vector does."""

from collections.abc import Collection


class PendingProducts:
    """Product id → the visitors whose session misses it, with the partition that each visitor lives in.

    It holds what the sessions in the table miss, and nothing else: what a session has forgotten is forgotten
    here, so products that somebody invents go with the visitors who were invented for them.
    """

    def __init__(self) -> None:
        self._visitors: dict[str, dict[bytes, int]] = {}
        self._missing: dict[bytes, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._visitors)

    def wait(self, visitor: bytes, partition: int, missing: Collection[str]) -> None:
        """Notes all that a session misses; what it missed before and does not now, it waits for no more."""
        now = frozenset(missing)
        self._leave(visitor, self._missing.get(visitor, frozenset()) - now)
        if now:
            self._missing[visitor] = now
        else:
            self._missing.pop(visitor, None)
        for product_id in now:
            self._visitors.setdefault(product_id, {})[visitor] = partition

    def forget(self, visitor: bytes) -> None:
        """The visitor waits for nothing any more."""
        self._leave(visitor, self._missing.pop(visitor, frozenset()))

    def pop_waiting(self, product_id: str) -> dict[bytes, int]:
        """The visitors who waited for a product, each with its partition; they wait no longer."""
        visitors = self._visitors.pop(product_id, {})
        for visitor in visitors:
            if left := self._missing[visitor] - {product_id}:
                self._missing[visitor] = left
            else:
                del self._missing[visitor]
        return visitors

    def _leave(self, visitor: bytes, products: Collection[str]) -> None:
        for product_id in products:
            there = self._visitors[product_id]
            del there[visitor]
            if not there:
                del self._visitors[product_id]
