"""What is recorded of a row that was shown, and that a row does not wait for its record."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from ulid import ULID

from schemas import impressions
from schemas.impressions import Shown, ShownItem
from schemas.live import Reason
from services.kafka.clients import NotDelivered
from services.recommender.impressions import Impressions
from services.recommender.index.port import Where
from services.recommender.metrics import Metrics
from services.recommender.pipeline.explanation import item
from services.recommender.pipeline.request import RecommendationRequest, RecommendationResult
from tests.support.pipeline import product

Message = tuple[str, tuple[bytes, bytes, list[Any]]]


class Port:
    """Where Kafka would be: takes messages, and is told by the test what became of them."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.answers: list[asyncio.Future[None]] = []

    def begin(self, messages: Sequence[Message]) -> asyncio.Future[None]:
        self.taken += messages
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


class Recorder:
    def __init__(self) -> None:
        self.port = Port()
        self.metrics = Metrics()
        self.impressions = Impressions(self.port, "t.recommendations", self.metrics, lambda: 1234.9)  # type: ignore[arg-type]

    def count(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"eddy_recommender_{name}_total")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


ALIKE = Reason(kind="content", product_id="p9")
ROW = tuple(item(product(number), 0.5 - number / 10, ALIKE, "looks alike") for number in range(3))
MADE = RecommendationResult(
    ROW, "m1", fallback="index_away", experiments={"x": "b"}, propensities={"p2": 0.25}
)


def ask(**fields: Any) -> RecommendationRequest:
    return RecommendationRequest("similar", 3, Where(), **{"visitor_id": "v1"} | fields)


async def test_a_row_is_recorded_with_all_that_clicks_and_training_ask_of_it(recorder: Recorder) -> None:
    shown_id = recorder.impressions.record(
        ask(slot="home", product_id="p9"), MADE, {"text": "t"}, query="words", caused_by="e1"
    )
    [(topic, (key, value, headers))] = recorder.port.taken
    assert (topic, key, headers) == ("t.recommendations", b"v1", [])
    assert shown_id is not None
    assert ULID.from_str(shown_id)
    assert impressions.decode(value) == Shown(
        recommendation_id=shown_id,
        visitor_id="v1",
        slot="home",
        kind="similar",
        shown_at=1234,
        items=tuple(
            ShownItem(product_id=each.product_id, score=each.score, source="content", propensity=chance)
            for each, chance in zip(ROW, (None, None, 0.25), strict=True)
        ),
        models={"text": "t"},
        product_id="p9",
        query="words",
        caused_by="e1",
        fallback="index_away",
        experiments={"x": "b"},
    )


async def test_a_row_without_a_slot_s_name_is_of_its_kind_and_ids_differ(recorder: Recorder) -> None:
    ids = {recorder.impressions.record(ask(), MADE, {}) for _ in range(5)}
    assert len(ids) == 5
    assert impressions.decode(recorder.port.taken[0][1][1]).slot == "similar"


async def test_rows_of_nobody_and_of_nothing_are_not_recorded(recorder: Recorder) -> None:
    assert recorder.impressions.record(ask(visitor_id=None), MADE, {}) is None
    assert recorder.impressions.record(ask(), RecommendationResult(()), {}) is None
    switched_off = Impressions(None, "t.recommendations", recorder.metrics, lambda: 0.0)
    assert switched_off.record(ask(), MADE, {}) is None
    assert recorder.port.taken == []


async def test_a_lost_record_is_counted_and_an_outage_is_told_once(recorder: Recorder) -> None:
    async def one(error: Exception | None) -> None:
        recorder.impressions.record(ask(), MADE, {})
        answer = recorder.port.answers[-1]
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)
        await asyncio.sleep(0)

    with capture_logs() as logs:
        await one(None)
        for _ in range(3):
            await one(NotDelivered("the broker does not answer"))
        assert (recorder.count("impressions"), recorder.count("impressions_lost")) == (1, 3)
        assert [(log["log_level"], log["error"]) for log in logs] == [
            ("warning", "the broker does not answer")
        ]
        await one(None)
        await one(NotDelivered("again"))
    assert len([log for log in logs if log["log_level"] == "warning"]) == 2
    assert (recorder.count("impressions"), recorder.count("impressions_lost")) == (2, 4)


async def test_what_is_given_up_at_the_end_breaks_nothing(recorder: Recorder) -> None:
    recorder.impressions.record(ask(), MADE, {})
    recorder.port.answers[-1].cancel()
    await asyncio.sleep(0)
    assert recorder.count("impressions_lost") == 1


async def test_what_is_recorded_is_counted_by_slot_model_and_fallback(recorder: Recorder) -> None:
    recorder.impressions.record(ask(slot="home"), MADE, {})
    labels = {"slot": "home", "model": "m1", "fallback": "index_away"}
    assert recorder.metrics.registry.get_sample_value("eddy_recommender_rows_total", labels) == 1
    assert recorder.metrics.registry.get_sample_value("eddy_recommender_products_shown") == len(ROW)
