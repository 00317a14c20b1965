"""All products that have vectors of one layout, off `product-vectors`, and which are nearest to a query."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS
from schemas.vectors import LAYOUT_VERSION, Layout, Matrix, Vector, decode
from services.history.past import HistoryReader, PastMessage
from services.history.progress import Progress
from services.replica import VectorReplica

AT_ONCE: Final = 10_000  # products compared with a query in one step: 30 MB
SEGMENT: Final = re.compile(r"([a-z_]+):([0-9]{1,4})")


class Near(NamedTuple):
    """A product, and Σ weight · cosine with what was asked for."""

    product: Product
    score: float


class Embedded:
    """Products and vectors of one layout; of two messages about a product the newest `updated_at` counts."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.vectors = VectorReplica(layout)
        self.products: dict[str, Product] = {}
        self.foreign = 0  # messages of another layout
        self.unreadable = 0

    def take(self, message: PastMessage) -> None:
        """One message of the topic."""
        product_id, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
        if value is None:
            self.products.pop(product_id, None)
            self.vectors.remove(product_id)
            return
        try:
            found = decode(value)
        except msgspec.MsgspecError:
            self.unreadable += 1
            return
        if found.layout != self.layout.id or len(found.content) != 2 * self.layout.width:
            self.foreign += 1
            return
        product = found.product
        known = self.products.get(product.product_id)
        if known is None or known.updated_at <= product.updated_at:
            self.products[product.product_id] = product
            self.vectors.put(product, np.frombuffer(found.content, dtype="<f2"))

    def among(self, category: str) -> list[str]:
        """The ids of all products of a top-level category."""
        return [each for each, product in self.products.items() if product.top_category == category]

    def nearest(self, query: Vector, product_ids: Sequence[str], k: int) -> list[Near]:
        """The k of these products with the greatest dot product with a (width,) query, the best first."""
        scores = np.concatenate(
            [
                np.zeros(0, dtype=np.float32),
                *(self._units(product_ids[start : start + AT_ONCE]) @ query
                  for start in range(0, len(product_ids), AT_ONCE)),
            ]
        )  # fmt: skip
        best = np.argsort(-scores, kind="stable")[:k]
        return [Near(self.products[product_ids[row]], float(scores[row])) for row in best]

    def _units(self, product_ids: Sequence[str]) -> Matrix:
        return self.vectors.units(product_ids)


def read(reader: HistoryReader, layout: Layout, progress: Progress) -> Embedded:
    """All of the topic. Raises BrokerAway, TopicMissing."""
    found = Embedded(layout)
    spans = reader.spans(PRODUCT_VECTORS)
    progress.stage(f"reading {PRODUCT_VECTORS.name}", sum(map(len, spans)))
    for messages in reader.read(spans):
        for message in messages:
            found.take(message)
        progress.advance(len(messages))
    return found


def layout_of(text: str) -> Layout | None:
    """The layout that a message names, whatever the settings say; None for another version's."""
    version, *named = text.split("/")
    segments = [SEGMENT.fullmatch(each) for each in named]
    if version != f"v{LAYOUT_VERSION}" or not segments or not all(segments):
        return None
    found = Layout(tuple((each[1], int(each[2])) for each in segments if each))
    return found if found.id == text else None
