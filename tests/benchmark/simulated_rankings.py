"""The rankings that `make simulate` compares, on the real pipeline and trainer, without Kafka."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from pydantic import SecretStr

from infra.simulation.visits import ShownRow
from schemas import events
from schemas.events import Event
from schemas.live import SlotKind
from schemas.models import DataRange, Manifest
from schemas.products import Product
from schemas.sessions import Session
from services.archive.history_events import HistoryEvent, decode
from services.model.artifact import Artifact
from services.model.behaviour import PRODUCTS, Behaviour
from services.model.candidates import HALF_LIFE
from services.model.session import fold
from services.model.session_index import Floats
from services.progress import Silent
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RecommendationRequest
from services.recommender.popularity import Popularity
from services.recommender.settings import RecommenderSettings
from services.trainer.content import Contents
from services.trainer.lambdarank import LambdaRank
from services.trainer.sessions import Histories, sessionise
from services.trainer.skipgram import SkipGram
from services.trainer.topic_history import GrowingColumns
from services.trainer.training import Parameters, TrainedModel, fit

SHOWN: Final = Where(availability=AVAILABLE)
HOUR_MS: Final = 3_600_000
# The demo's, for a small shop; one thread, because gensim's race.
PARAMETERS: Final = Parameters(
    item2vec=SkipGram(width=40), lambdarank=LambdaRank(rounds=80), nearest=50, threads=1
)


@dataclass(frozen=True, slots=True)
class Stock:
    """The catalogue with its content vectors."""

    products: Sequence[Product]
    contents: Contents


class PipelineRanking:
    """Rows as the recommender makes them of one kind, without a model: popularity, content."""

    def __init__(self, name: str, kind: SlotKind, stock: Stock, folder: Path) -> None:
        self.name = name
        self._kind: SlotKind = kind
        settings = RecommenderSettings(token_secret=SecretStr("nobody comes in here"), auth="optional")
        self.tuning, layout = settings.tuning, stock.contents.layout
        self._layout, self._replica = layout, stock.contents.replica
        self.catalogue = Catalogue(self._replica.numbers)
        index = CachedIndex(EdgeIndex(layout, folder / name.replace(" ", "-"), self._replica.numbers))
        for product in stock.products:
            self.catalogue.put(product)
        vectors = self._replica.units([each.product_id for each in stock.products])
        index.upsert(list(zip(stock.products, vectors, strict=True)))
        self._popularity = Popularity(settings.popular_half_life_ms, self.tuning.kind_weights)
        self._sessions: dict[str, Session] = {}
        self.model: Behaviour | None = None
        self._counted_at = 0
        self._ids = count()
        self._loop = asyncio.new_event_loop()
        self._pipeline = RecommendationPipeline(
            self.catalogue,
            index,
            self._replica,
            layout=layout,
            tuning=self.tuning,
            rules=RowLimits(k=0, diversity=settings.diversity, brand_max=settings.brand_max),
            model=lambda _line: self.model,
            metrics=Metrics(),
        )

    def session(self, visitor_id: str) -> Session | None:
        """As it is now."""
        return self._sessions.get(visitor_id)

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """The row that a page would get."""
        if at - self._counted_at > HOUR_MS:
            self.catalogue.count(self._popularity.counts(at))
            self._counted_at = at
        request = RecommendationRequest(
            kind=self._kind,
            k=k,
            where=SHOWN,
            slot="for_you",
            visitor_id=visitor_id,
            session=self.session(visitor_id),
            without_seen=True,
            without_bought=True,
        )
        made = self._loop.run_until_complete(self._pipeline.run(request))
        return ShownRow(f"{self.name}-{next(self._ids)}", tuple([each.product_id for each in made.row]))

    def observe(self, event: Event) -> None:
        """Folds it into the visitor's session, and counts it."""
        before = self._sessions.get(event.visitor_id, Session(event.visitor_id))
        after = fold(before, event, self._replica, self._layout, self.tuning)
        self._sessions[event.visitor_id] = after
        self._popularity.update(before.events, after.events)

    def end_day(self, day: int) -> None:
        """There is nothing to learn."""


class TrainedRanking(PipelineRanking):
    """The shopper's own rows, with a model that learns every night from events: Eddy without the loop."""

    def __init__(self, name: str, stock: Stock, folder: Path) -> None:
        super().__init__(name, "for_you", stock, folder)
        self.contents = stock.contents
        types = [type_ for type_, weight in self.tuning.type_weights.items() if weight]
        self._columns = GrowingColumns(types)

    def observe(self, event: Event) -> None:
        """Also remembers it for the night."""
        super().observe(event)
        self._columns.extend([history_event(event)])

    def end_day(self, day: int) -> None:
        """Learns, from the last day without rows on."""
        if day >= 0:
            self.serve(self.learn(sessionise(self._columns.columns())))

    def learn(self, histories: Histories) -> TrainedModel:
        """What the trainer makes of the visits."""
        return fit(histories, PARAMETERS, Silent(), self.contents)

    def serve(self, trained: TrainedModel) -> None:
        """As the recommender takes an artifact."""
        manifest = Manifest(
            version="20260101T000000Z-00000000",
            created_at=0,
            data=DataRange(0, 0),
            counts={},
            parameters=trained.parameters,
        )
        self.model = Behaviour.of(Artifact(manifest, "", trained.arrays, trained.texts))


class Item2VecRanking(TrainedRanking):
    """The plain method: all products by OUT · the decayed IN of what was looked at; popular ones before."""

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """Of what may be shown and was neither seen nor bought, as everywhere."""
        row, session = super().recommend(visitor_id, k, at), self.session(visitor_id)
        if self.model is None or session is None:
            return row  # what is popular
        query = self._query(session)
        if not query.any():
            return row
        order = np.argsort(-(self._out @ query), kind="stable").tolist()
        seen = {event.product_id for event in session.events}
        seen |= self.catalogue.find_by_digest(session.purchases)
        ranked = (self._products[number] for number in order)
        shown = [each for each in ranked if each not in seen and self.catalogue.allows(each, SHOWN)]
        return ShownRow(row.recommendation_id, tuple(shown[:k]))

    def serve(self, trained: TrainedModel) -> None:
        """Its vectors alone."""
        super().serve(trained)
        self._products = msgspec.json.decode(trained.texts[PRODUCTS], type=list[str])
        self._in, self._out = trained.arrays["item2vec_in"], trained.arrays["item2vec_out"]

    def _query(self, session: Session) -> Floats:
        assert self.model is not None
        items, weights = self.model.context(session.events, self.tuning)
        ago = np.arange(len(items))[::-1]
        known = np.where((items >= 0) & (weights > 0), weights * 0.5 ** (ago / HALF_LIFE), 0.0)
        return np.asarray(known @ self._in[items], dtype=np.float32)


def history_event(event: Event) -> HistoryEvent:
    """As the trainer reads it off the topic."""
    return decode(events.encode(event))
