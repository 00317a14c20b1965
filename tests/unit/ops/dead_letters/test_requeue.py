"""Letters that are put back, of which Kafka refuses some for good."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.kafka.clients import AcknowledgedProducer, NotDelivered
from services.ops.dead_letters import requeue
from services.ops.dead_letters.letter import DeadLetter
from services.ops.dead_letters.requeue import RequeueRun
from services.ops.dead_letters.verdicts import RequeueVerdict
from services.ops.settings import OpsSettings
from tests.support.dead_letters import letter

LETTERS = [letter(b"{}", offset=offset) for offset in range(3)]


def run(monkeypatch: pytest.MonkeyPatch, failure: NotDelivered) -> tuple[RequeueRun, list[DeadLetter]]:
    """A run whose broker answers so, and the letters that it marks."""
    marked: list[DeadLetter] = []

    async def send_all(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(AcknowledgedProducer, "send_all", send_all)
    monkeypatch.setattr(requeue, "mark", lambda _settings, _writer, some, _outcome: marked.extend(some))
    judge = SimpleNamespace(on_topic=lambda some: [RequeueVerdict(each, "good", key=b"v") for each in some])
    return RequeueRun(OpsSettings(), cast(Any, judge), cast(Any, None), dry_run=False), marked


def test_the_others_are_marked_and_not_put_back_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = NotDelivered("too large", refused={1: "too large"}, delivered=2, total=3)
    requeuing, marked = run(monkeypatch, failure)
    with requeuing:
        requeuing.take(LETTERS)
    assert marked == [LETTERS[0], LETTERS[2]]
    assert (requeuing.done.requeued, requeuing.done.stayed) == (2, {"bad": 1})
    assert "for good: too large" in requeuing.done.letters[0]["why"]


def test_what_may_pass_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    requeuing, marked = run(monkeypatch, NotDelivered("the broker does not answer", delivered=2, total=3))
    with requeuing, pytest.raises(NotDelivered, match="2 of 3 messages are written"):
        requeuing.take(LETTERS)
    assert marked == []
