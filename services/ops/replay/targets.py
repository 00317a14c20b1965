"""Which next clicks no row could foretell today: their products are gone, or sold out."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from schemas.products import Availability
from services.ops.replay.answers import SHOWN
from services.ops.replay.cases import Case
from services.ops.replay.rows import ANSWER_S, TOLD_MAX, RowsRefused

AT_ONCE: Final = 50  # products a question: of the longest ids, what fits into a line


@dataclass(frozen=True, slots=True)
class Lost:
    """Cases whose target the catalogue has not any more, and whose target is sold out now."""

    gone: int
    sold_out: int

    def notes(self, cases: int) -> Iterator[str]:
        """What a reader of figures about so many cases has to know."""
        found = ((self.gone, "is no longer in the catalogue"), (self.sold_out, "is sold out now"))
        for count, what in found:
            if count:
                of = f"{count:,} of {cases:,} cases"
                yield f"The next product of {of} {what}: a miss for all but “{SHOWN}”."


class _Product(msgspec.Struct, frozen=True):
    product_id: str
    availability: Availability


class _Known(msgspec.Struct, frozen=True):
    items: tuple[_Product, ...]


def lost(url: str, cases: Collection[Case]) -> Lost:
    """Asks a recommender that is ready for the cases' targets. Blocks; raises RowsRefused."""
    wanted = Counter(case.target for case in cases)
    known: dict[str, Availability] = {}
    ids = sorted(wanted)
    with httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client:
        for begin in range(0, len(ids), AT_ONCE):
            known.update(_known(client, ids[begin : begin + AT_ONCE]))
    return Lost(
        gone=sum(count for product_id, count in wanted.items() if product_id not in known),
        sold_out=sum(wanted[product_id] for product_id, state in known.items() if state == "out_of_stock"),
    )


def _known(client: httpx.Client, product_ids: list[str]) -> Iterator[tuple[str, Availability]]:
    try:
        response = client.get("/v1/products", params={"product_id": product_ids})
    except httpx.TransportError as error:
        raise RowsRefused(f"the recommender at {client.base_url} does not answer ({error})") from error
    if response.status_code != httpx.codes.OK:
        told = response.text[:TOLD_MAX]
        raise RowsRefused(f"the recommender at {client.base_url} answers {response.status_code}: {told}")
    for product in msgspec.json.decode(response.content, type=_Known).items:
        yield product.product_id, product.availability
