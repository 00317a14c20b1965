"""The rankings that `make simulate` compares, on the real pipeline and trainer, without Kafka."""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import SecretStr

from infra.simulation.visits import ShownRow
from schemas import events
from schemas.events import CLICKS, Event
from schemas.impressions import Shown
from schemas.live import SlotKind
from schemas.models import DataRange, Manifest
from schemas.products import Product
from schemas.sessions import Session
from services.archive.history_events import HistoryEvent, decode
from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.candidates import HALF_LIFE
from services.model.propensity import SeenRow
from services.model.repurchase import Repeats
from services.model.session import event_weights, fold, visits
from services.model.session_index import Floats
from services.progress import Silent
from services.recommender.catalogue import Catalogue
from services.recommender.impressions import to_shown_item
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RecommendationRequest, RecommendationResult
from services.recommender.popularity import Popularity
from services.recommender.settings import RecommenderSettings
from services.trainer import skipgram
from services.trainer.content import Contents
from services.trainer.impressions import row_lessons
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
    """The catalogue with its content vectors, a folder for indexes, and what runs the pipelines."""

    products: Sequence[Product]
    contents: Contents
    folder: Path
    runner: asyncio.Runner


class PipelineRanking:
    """Rows as the recommender makes them of one kind, without a model: popularity, content."""

    def __init__(self, name: str, kind: SlotKind, stock: Stock, *, explores: float = 0.0) -> None:
        self.name = name
        self._kind: SlotKind = kind
        settings = RecommenderSettings(token_secret=SecretStr("nobody comes in here"), auth="optional")
        self.tuning, layout = settings.tuning, stock.contents.layout
        self._layout, self._replica = layout, stock.contents.replica
        self.catalogue = Catalogue(self._replica.numbers)
        index = CachedIndex(EdgeIndex(layout, stock.folder / name.replace(" ", "-"), self._replica.numbers))
        for product in stock.products:
            self.catalogue.put(product)
        vectors = self._replica.units([each.product_id for each in stock.products])
        index.upsert(list(zip(stock.products, vectors, strict=True)))
        self.popularity = Popularity(settings.popular_half_life_ms, self.tuning.kind_weights)
        self._sessions: dict[str, Session] = {}
        self.model: Behaviour | None = None
        self._counted_at = self._now = 0  # Unix ms, as simulated
        self._ids = count()
        self._runner = stock.runner
        self._pipeline = RecommendationPipeline(
            self.catalogue,
            index,
            self._replica,
            layout=layout,
            tuning=self.tuning,
            rules=RowLimits(k=0, diversity=settings.diversity, brand_max=settings.brand_max),
            model=lambda _line: self.model,
            metrics=Metrics(),
            clock=lambda: self._now,
            explores=explores,
        )

    def session(self, visitor_id: str) -> Session | None:
        """As it is now."""
        return self._sessions.get(visitor_id)

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """The row that a page would get."""
        return self.show(self.run(visitor_id, k, at))

    def run(self, visitor_id: str, k: int, at: int) -> RecommendationResult:
        """What the pipeline makes of all that is known now."""
        self._now = at
        if at - self._counted_at > HOUR_MS:
            self.catalogue.count(self.count_popularity(at))
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
        return self._runner.run(self._pipeline.run(request))

    def show(self, made: RecommendationResult) -> ShownRow:
        """Under an id of its own."""
        return ShownRow(self.next_id(), tuple([each.product_id for each in made.row]))

    def next_id(self) -> str:
        """A row's."""
        return f"{self.name}-{next(self._ids)}"

    def count_popularity(self, at: int) -> dict[str, float]:
        """As the recommender counts it, Unix ms."""
        return self.popularity.counts(at)

    def observe(self, event: Event) -> None:
        """Folds it into the visitor's session, and counts it."""
        before = self._sessions.get(event.visitor_id, Session(event.visitor_id))
        after = fold(before, event, self._replica, self._layout, self.tuning)
        self._sessions[event.visitor_id] = after
        self.popularity.update(before.events, after.events)

    def end_day(self, day: int) -> None:
        """There is nothing to learn."""


class LearningRanking(PipelineRanking, ABC):
    """It learns every night from all events."""

    def __init__(self, name: str, kind: SlotKind, stock: Stock, *, explores: float = 0.0) -> None:
        super().__init__(name, kind, stock, explores=explores)
        types = [type_ for type_, weight in self.tuning.type_weights.items() if weight]
        self.columns = GrowingColumns(types)

    def observe(self, event: Event) -> None:
        """Also remembers it for the night."""
        super().observe(event)
        self.columns.extend([history_event(event)])

    def end_day(self, day: int) -> None:
        """Learns, from the last day without rows on."""
        if day >= 0:
            self.learn(sessionise(self.columns.columns()))

    @abstractmethod
    def learn(self, histories: Histories) -> None:
        """Takes into service what it makes of the visits."""


class TrainedRanking(LearningRanking):
    """The shopper's own rows, with the trainer's model: Eddy without the loop."""

    def __init__(self, name: str, stock: Stock, *, explores: float = 0.0) -> None:
        super().__init__(name, "for_you", stock, explores=explores)
        self.contents = stock.contents

    def learn(self, histories: Histories) -> None:
        """As the trainer makes a model, and the recommender takes its artifact."""
        trained = self.train(histories)
        manifest = Manifest(
            version="20260101T000000Z-00000000",
            created_at=0,
            data=DataRange(0, 0),
            counts={},
            parameters=trained.parameters,
        )
        self.model = Behaviour.of(Artifact(manifest, "", trained.arrays, trained.texts))

    def train(self, histories: Histories) -> TrainedModel:
        """From what visitors did."""
        return fit(histories, PARAMETERS, Silent(), self.contents)


class LoopRanking(TrainedRanking):
    """The same, and it also learns from its own rows and what was clicked there: Eddy with the loop."""

    def __init__(self, name: str, stock: Stock, *, explores: float) -> None:
        super().__init__(name, stock, explores=explores)
        self._shown: dict[str, Shown] = {}
        self._clicked: defaultdict[str, set[str]] = defaultdict(set)

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """Also records it, as the recommender does."""
        made = self.run(visitor_id, k, at)
        row = self.show(made)
        self._shown[row.recommendation_id] = Shown(
            recommendation_id=row.recommendation_id,
            visitor_id=visitor_id,
            slot="for_you",
            kind="for_you",
            shown_at=at,
            items=tuple([to_shown_item(each, made.propensities) for each in made.row]),
            models={},
        )
        return row

    def observe(self, event: Event) -> None:
        """Also remembers on which row it was a click."""
        super().observe(event)
        if event.recommendation_id is not None and event.type in CLICKS:
            self._clicked[event.recommendation_id].update(event.products())

    def train(self, histories: Histories) -> TrainedModel:
        """From rows that were seen, too."""
        rows = self.join_rows()
        lessons = row_lessons(rows, self.columns.columns(), self.tuning)
        trained = fit(histories, PARAMETERS, Silent(), self.contents, impressions=lessons)
        return trained.learn_beside(Repeats(), rows)

    def join_rows(self) -> list[SeenRow]:
        """All of each row was on the screen; what of it was looked at nobody knows."""
        return [
            SeenRow(shown, frozenset(item.product_id for item in shown.items), frozenset(self._clicked[name]))
            for name, shown in self._shown.items()
        ]

    def count_popularity(self, at: int) -> dict[str, float]:
        """Corrected by how products do where they are seen."""
        return self.popularity.counts(at, self.model)


class Item2VecRanking(LearningRanking):
    """The plain method: all products by OUT · the decayed IN of what was looked at; popular ones before."""

    def __init__(self, name: str, stock: Stock) -> None:
        super().__init__(name, "popular", stock)
        self._products: tuple[str, ...] = ()
        self._number: dict[str, int] = {}

    def recommend(self, visitor_id: str, k: int, at: int) -> ShownRow:
        """Of what may be shown and was neither seen nor bought, as everywhere."""
        session = self.session(visitor_id)
        query = self._query(session) if session is not None else np.zeros(1)
        if session is None or not query.any():
            return super().recommend(visitor_id, k, at)
        order = np.argsort(-(self._out @ query), kind="stable").tolist()
        seen = {event.product_id for event in session.events}
        seen |= self.catalogue.find_by_digest(session.purchases)
        ranked = (self._products[number] for number in order)
        shown = [each for each in ranked if each not in seen and self.catalogue.allows(each, SHOWN)]
        return ShownRow(self.next_id(), tuple(shown[:k]))

    def learn(self, histories: Histories) -> None:
        """Vectors alone."""
        self._products = histories.products
        self._number = {product_id: number for number, product_id in enumerate(histories.products)}
        self._in, self._out = skipgram.vectors(
            histories, PARAMETERS.item2vec, threads=PARAMETERS.threads, progress=Silent()
        )

    def _query(self, session: Session) -> Floats:
        """(width,) of the current visit, weighed as `services.model.candidates` weighs; else zeros."""
        current = session.events[visits(session.events, self.tuning.gap_ms)[-1] :] if session.events else ()
        weights = event_weights(current, [0], self.tuning)
        query = np.zeros(PARAMETERS.item2vec.width, np.float32)
        for ago, (event, weight) in enumerate(zip(reversed(current), reversed(weights), strict=True)):
            if weight > 0 and event.product_id in self._number:
                query += (
                    np.float32(weight * 0.5 ** (ago / HALF_LIFE)) * self._in[self._number[event.product_id]]
                )
        return query


def history_event(event: Event) -> HistoryEvent:
    """As the trainer reads it off the topic."""
    return decode(events.encode(event))
