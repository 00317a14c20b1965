"""All products that have vectors of one layout, off `product-vectors`, and which are nearest to a query."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS
from schemas.unreadable import Unreadable
from schemas.vectors import LAYOUT_VERSION, Layout, Vector
from services.kafka.messages import decode, vectors_of
from services.kafka.ranges import HistoryReader, TopicMessage
from services.model.content import SIMILAR
from services.model.interests import Neighbour
from services.ops.inspect.product.report import Nearest
from services.progress import Progress, track
from services.vector_replica import VectorReplica

AT_ONCE: Final = 10_000  # products compared with a query in one step: 30 MB
SEGMENT: Final = re.compile(r"([a-z_]+):([0-9]{1,4})")


class VectorTable:
    """Products and vectors of one layout; of two messages about a product the newest `updated_at` counts."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._kind = vectors_of(layout)
        self.vectors = VectorReplica(layout)
        self.products: dict[str, Product] = {}
        self.foreign = 0  # messages of another layout
        self.unreadable = 0

    def take(self, message: TopicMessage) -> None:
        """One message of the topic."""
        read = decode(self._kind, message)
        if isinstance(read, Unreadable):
            self.unreadable += 1
            return
        found = read.value
        if found is None:
            self.products.pop(read.key, None)
            self.vectors.remove(read.key)
            return
        if found.layout != self.layout.id:
            self.foreign += 1
            return
        product = found.product
        known = self.products.get(product.product_id)
        if known is None or known.updated_at <= product.updated_at:
            self.products[product.product_id] = product
            self.vectors.put(product, np.frombuffer(found.content, dtype="<f2"))

    def find(self, product_id: str) -> Product | None:
        """The product, or None."""
        return self.products.get(product_id)

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """The first step of each product's category path, or None for one without a vector."""
        return self.vectors.top_categories(product_ids)

    def among(self, category: str) -> list[str]:
        """The ids of all products of a top-level category."""
        return [each for each, product in self.products.items() if product.top_category == category]

    def nearest(self, query: Vector, product_ids: Sequence[str], k: int) -> list[Neighbour]:
        """The k of these products with the greatest dot product with a (width,) query, the best first."""
        scores = np.concatenate(
            [
                np.zeros(0, dtype=np.float32),
                *(self.vectors.units(product_ids[start : start + AT_ONCE]) @ query
                  for start in range(0, len(product_ids), AT_ONCE)),
            ]
        )  # fmt: skip
        best = np.argsort(-scores, kind="stable")[:k]
        return [Neighbour(self.products[product_ids[row]], float(scores[row])) for row in best]


def read(reader: HistoryReader, layout: Layout, progress: Progress) -> VectorTable:
    """All of the topic. Raises BrokerAway, TopicMissing."""
    found = VectorTable(layout)
    spans = reader.spans(PRODUCT_VECTORS)
    stage = f"reading {PRODUCT_VECTORS.name}"
    for message in track(reader.read(spans), progress, stage, sum(map(len, spans))):
        found.take(message)
    return found


def layout_of(text: str) -> Layout | None:
    """The layout that a message names, whatever the settings say; None for another version's."""
    version, *named = text.split("/")
    segments = [SEGMENT.fullmatch(each) for each in named]
    if version != f"v{LAYOUT_VERSION}" or not segments or not all(segments):
        return None
    found = Layout(tuple((each[1], int(each[2])) for each in segments if each))
    return found if found.id == text else None


WORTH_TELLING: Final = 0.1  # of a score's parts
ALIKE: Final = 0.98  # a cosine above is told as the same
PHRASES_MAX: Final = 3


def nearest(embedded: VectorTable, product_id: str, k: int) -> tuple[Nearest, ...]:
    """The k products nearest by content, with the weights of rows of similar products."""
    vector = embedded.vectors.vector(product_id)
    if vector is None:
        return ()
    query = embedded.layout.apply_weights(vector, SIMILAR)
    others = [each for each in embedded.products if each != product_id]
    about = embedded.products[product_id]
    return tuple(_describe(about, near, query, embedded) for near in embedded.nearest(query, others, k))


def _describe(about: Product, near: Neighbour, query: Vector, embedded: VectorTable) -> Nearest:
    vector = embedded.vectors.units([near.product.product_id])[0]
    parts = parts_of(query, vector, embedded.layout)
    return Nearest(
        product_id=near.product.product_id,
        name=near.product.name,
        availability=near.product.availability,
        score=round(near.score, 4),
        parts=parts,
        why=explain(about, near.product, parts),
    )


def parts_of(query: Vector, vector: Vector, layout: Layout) -> dict[str, float]:
    """Weight · cosine by segment, the greatest first; those that count nothing are left out."""
    sums = np.add.reduceat(query * vector, layout.starts)
    found = {
        name: round(float(part), 4)
        for (name, _), part in zip(layout.widths, sums, strict=True)
        if abs(part) > 1e-4
    }
    return dict(sorted(found.items(), key=lambda part: -part[1]))


def explain(about: Product, other: Product, parts: Mapping[str, float]) -> str:
    """The parts that weigh most, such as: both ankle boots, both in Women > Shoes, looks alike (0.81)."""
    phrases = [
        _phrase(name, about, other, part / SIMILAR[name])
        for name, part in parts.items()
        if part >= WORTH_TELLING
    ]
    return ", ".join(phrases[:PHRASES_MAX]) or "nothing of it stands out"


def _phrase(segment: str, about: Product, other: Product, cosine: float) -> str:
    same = cosine > ALIKE
    if segment == "type" and same and other.type:
        return f"both {other.type}"
    if segment == "brand" and same and other.brand:
        return f"both by {other.brand}"
    if segment == "category":
        shared = [
            step for step, theirs in zip(about.category, other.category, strict=False) if step == theirs
        ]
        return f"both in {' > '.join(shared)}" if shared else f"category alike ({cosine:.2f})"
    verb = {"image": "looks", "text": "reads", "popularity": "is popular"}.get(segment, segment)
    return f"{verb} alike ({cosine:.2f})"
