"""Which products were on rows that a visitor saw: what is shown in vain again and again fades. Pure."""

from collections.abc import Iterable, Mapping

from schemas.events import Event
from schemas.sessions import ShownProduct, identity, pack_shown, purchase_digest

Shown = Mapping[int, ShownProduct]


def impressions_of(event: Event) -> Shown:
    """`purchase_digest` of each product on a row of ours that the visitor saw; nothing for other events.

    A list of the shop's own has no `recommendation_id`.
    """
    if event.type != "view_item_list" or not event.recommendation_id:
        return {}
    at = min(event.occurred_at, event.received_at or event.occurred_at) // 1000
    bit = 1 << identity(event.event_id)[-1] % 16
    return {purchase_digest(product_id): ShownProduct(at, bit) for product_id in event.products()}


def merge_shown(parts: Iterable[Shown]) -> bytes:
    """`Session.shown` of all parts: of each product when last and in which rows, of these the newest.

    A product that was left out for newer ones, and is shown again, counts from there on.
    """
    found: dict[int, ShownProduct] = {}
    for part in parts:
        for digest, each in part.items():
            known = found.get(digest, each)
            found[digest] = ShownProduct(max(known.at, each.at), known.bits | each.bits)
    return pack_shown(found)
