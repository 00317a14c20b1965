"""What was shown goes to [recommendations]: the ids that clicks name, and what the trainer may learn from."""

import asyncio
from collections.abc import Callable, Mapping

import structlog
from ulid import ULID

from schemas import impressions
from schemas.impressions import Shown, ShownItem
from schemas.live import RecommendedItem
from services.kafka.clients import AcknowledgedProducer
from services.recommender.metrics import Metrics
from services.recommender.pipeline.request import RecommendationRequest, RecommendationResult
from services.recommender.shown_rows import ShownRows

log = structlog.get_logger()


class Impressions:
    """Writes without waiting: a row is not held up for its record, and one that is lost is counted."""

    def __init__(
        self,
        producer: AcknowledgedProducer | None,
        topic: str,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.rows = ShownRows(metrics, clock)
        self._producer = producer
        self._topic = topic
        self._metrics = metrics
        self._clock = clock
        self._is_away = False

    def record(
        self,
        asked: RecommendationRequest,
        made: RecommendationResult,
        models: dict[str, str],
        *,
        query: str | None = None,
        caused_by: str | None = None,
    ) -> str | None:
        """Records a row; its id, or None for one of nobody, of nothing, or that recommends nothing.

        Call it in the loop that serves.
        """
        is_recommended = asked.kind != "products"
        if asked.visitor_id is None or not made.row or not is_recommended or self._producer is None:
            return None
        recommendation_id = str(ULID())
        record = Shown(
            recommendation_id=recommendation_id,
            visitor_id=asked.visitor_id,
            slot=asked.slot or asked.kind,
            kind=asked.kind,
            shown_at=int(self._clock()),
            items=tuple([to_shown_item(each, made.propensities) for each in made.row]),
            models=models,
            product_id=asked.product_id,
            query=query,
            caused_by=caused_by,
            fallback=made.fallback,
            experiments=dict(made.experiments),
        )
        products = (each.product_id for each in made.row)
        self.rows.show(recommendation_id, record.slot, made.model, made.fallback, products)
        key = asked.visitor_id.encode()
        sent = self._producer.begin([(self._topic, (key, impressions.encode(record), []))])
        sent.add_done_callback(self._count_delivery)
        return recommendation_id

    def _count_delivery(self, sent: "asyncio.Future[None]") -> None:
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        (self._metrics.impressions_lost if error else self._metrics.impressions).inc()
        if error and not self._is_away:
            log.warning("impressions are not taken by Kafka, rows go on without", error=str(error))
        self._is_away = error is not None


def to_shown_item(item: RecommendedItem, propensities: Mapping[str, float]) -> ShownItem:
    """One product as it is recorded."""
    propensity = propensities.get(item.product_id)
    return ShownItem(product_id=item.product_id, score=item.score, source=item.source, propensity=propensity)
