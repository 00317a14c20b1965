"""The catalogue's content vectors: what a session is like, and which products nobody has clicked yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.sessions import Session, SessionEvent
from schemas.topics import PRODUCT_VECTORS
from schemas.vectors import Layout
from services.kafka.messages import MessageReader, vectors_of
from services.kafka.ranges import open_reader
from services.model import content
from services.model.item2vec import all_nearest
from services.model.ranker import Likeness
from services.model.session import Tuning, compute_session
from services.model.session_index import Floats
from services.progress import Progress
from services.settings import ServiceSettings
from services.trainer.repurchase import ProductKind
from services.vector_replica import VectorReplica

NEAREST: Final = 40  # candidates by content, about as many as the recommender takes from its index


@dataclass(frozen=True, eq=False)
class Contents:
    """All products that have a content vector, and what kinds of products they are."""

    replica: VectorReplica
    layout: Layout
    kinds: Mapping[str, ProductKind] = field(default_factory=dict)
    products: tuple[str, ...] = field(init=False)
    _searched: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "products", tuple(sorted(self.replica.product_ids)))
        object.__setattr__(self, "_searched", self.replica.units(self.products))

    def others(self, products: Sequence[str]) -> tuple[str, ...]:
        """Products of the catalogue that are not among these."""
        known = frozenset(products)
        return tuple(product for product in self.products if product not in known)

    def rows(self, products: Sequence[str]) -> Floats:
        """(n, width) rows whose dot product is Σ weight · cosine; zeros for a product without content."""
        roots = {name: weight**0.5 for name, weight in content.SIMILAR.items()}
        rows: Floats = self.layout.apply_weights(self.replica.units(products), roots)
        return rows

    def query(
        self, events: Sequence[SessionEvent], tuning: Tuning
    ) -> tuple[tuple[str, ...], Likeness | None]:
        """For a session of these events the products nearest by content, and the likeness of any."""
        session = compute_session("", tuple(events), self.replica, self.layout, tuning)
        likened = content.of(session, self.replica, self.layout)
        return (self._nearest(session) if likened else ()), likened

    def _nearest(self, session: Session) -> tuple[str, ...]:
        query = content.queries([session.vector], self.layout)
        found = all_nearest(query, self._searched, min(NEAREST, len(self.products)))[0]
        return tuple([self.products[place] for place in found.tolist()])


def read(settings: ServiceSettings, progress: Progress) -> Contents | None:
    """What lies on `product-vectors` now; None for an empty topic. Raises what reading a topic raises."""
    replica, kind, decoder = VectorReplica(settings.layout), vectors_of(settings.layout), MessageReader()
    kinds: dict[str, ProductKind] = {}
    with open_reader(settings) as reader:
        spans = reader.spans(PRODUCT_VECTORS)
        progress.stage("reading the catalogue", sum(len(span) for span in spans))
        for messages in reader.read(spans):
            for message in messages:
                if (read := decoder.read(kind, message)) is None:
                    continue
                if replica.apply(read.key, read.value) and read.value is not None:
                    product = read.value.product
                    kinds[read.key] = ProductKind(product.type, product.top_category or None)
            progress.advance(len(messages))
    return Contents(replica, settings.layout, kinds) if len(replica) else None
