"""A page is not one row several times: a slot leaves out what the slots before it show. Pure.

The order is the page's. Searches and products that a page names neither give up nor take anything: they show
what was asked for. What the shop has pinned stays where it was pinned.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from schemas.live import RecommendedItem, Slot

ASKED_FOR: Final = frozenset({"search", "products"})  # kinds of rows

Rows = Mapping[str, tuple[RecommendedItem, ...]]  # by the names of their slots


def is_distinct(slot: Slot) -> bool:
    """Whether it shares the page's products with other slots."""
    return slot.distinct and slot.kind not in ASKED_FOR


def find_shown(slots: Iterable[Slot], name: str, rows: Rows) -> frozenset[str]:
    """What the slot of that name leaves out: what the distinct slots before it show."""
    found: set[str] = set()
    for slot in slots:
        if slot.name == name:
            return frozenset(found) if is_distinct(slot) else frozenset()
        if is_distinct(slot):
            found.update(item.product_id for item in rows.get(slot.name, ()))
    return frozenset()


def find_overlaps(slots: Iterable[Slot], name: str, rows: Rows) -> list[str]:
    """The distinct slots behind that one which show a product of its row."""
    here: frozenset[str] = frozenset()
    found: list[str] = []
    for slot in slots:
        if slot.name == name:
            if not is_distinct(slot):
                return []
            here = frozenset(item.product_id for item in rows.get(name, ()))
        elif here and is_distinct(slot):
            row = rows.get(slot.name, ())
            found += [slot.name] if any(item.product_id in here for item in row) else []
    return found
