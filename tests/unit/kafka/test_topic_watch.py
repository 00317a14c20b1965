"""Watches that share a source: each gets every answer once, and none from before what it knows itself."""

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaException

from services.kafka import topic_watch
from services.kafka.topic_watch import ShapeSource, TopicShape, TopicWatch


class Broker:
    """Answers with the ids that topics have when `answer` is called."""

    def __init__(self) -> None:
        self.ids = {"a": "1", "b": "1"}
        self.questions: list[tuple[Sequence[str], Future[object]]] = []
        self.now = 0.0

    def describe(self, topics: Sequence[str]) -> dict[str, TopicShape | None]:
        return {each: TopicShape(self.ids[each], 1) for each in topics}

    def submit(self, _ask: object, topics: Sequence[str]) -> "Future[object]":
        self.questions.append((topics, Future()))
        return self.questions[-1][1]

    def answer(self) -> None:
        topics, future = self.questions[-1]
        future.set_result(self.describe(topics))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(topic_watch, "AdminClient", lambda *_arguments, **_more: None)
    monkeypatch.setattr(topic_watch, "ThreadPoolExecutor", lambda *_arguments, **_more: broker)
    monkeypatch.setattr(topic_watch, "time", SimpleNamespace(monotonic=lambda: broker.now))
    monkeypatch.setattr(ShapeSource, "ask", lambda _self, topics: broker.describe(topics))
    return broker


def ids(found: "topic_watch.Shapes | None") -> dict[str, str | None] | None:
    if found is None:
        return None
    return {topic: shape.topic_id if shape else None for topic, shape in found.items()}


def test_each_watch_gets_each_answer_once_about_its_own_topics(broker: Broker) -> None:
    source = ShapeSource({}, ["a", "b"])
    first, second = TopicWatch({}, ["a"], source), TopicWatch({}, ["b"], source)
    assert first.look() is None
    assert second.look() is None
    assert len(broker.questions) == 1
    broker.answer()
    assert ids(first.look()) == {"a": "1"}
    assert first.look() is None
    assert ids(second.look()) == {"b": "1"}
    broker.ids["b"] = "2"
    broker.now = topic_watch.EVERY_S
    assert first.look() is None
    broker.answer()
    assert ids(second.look()) == {"b": "2"}
    assert ids(first.look()) == {"a": "1"}
    assert len(broker.questions) == 2


def test_an_answer_to_a_question_from_before_is_none_to_who_has_asked_since(broker: Broker) -> None:
    source = ShapeSource({}, ["a", "b"])
    first, second = TopicWatch({}, ["a"], source), TopicWatch({}, ["b"], source)
    first.look()
    topics, asked = broker.questions[0]
    before = broker.describe(topics)
    broker.ids["b"] = "2"
    assert ids(second.ask()) == {"b": "2"}
    asked.set_result(before)
    assert ids(first.look()) == {"a": "1"}
    assert second.look() is None


def test_no_answer_is_passed_over_and_asked_for_again(broker: Broker) -> None:
    watch = TopicWatch({}, ["a"])
    watch.look()
    broker.questions[0][1].set_exception(KafkaException("away"))
    assert watch.look() is None
    broker.now = topic_watch.EVERY_S
    assert watch.look() is None
    broker.answer()
    assert ids(watch.look()) == {"a": "1"}
