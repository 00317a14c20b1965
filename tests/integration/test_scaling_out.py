"""A second worker of a new group joins while the first events come: each is folded by whoever has it."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from schemas.events import Event
from schemas.topics import SESSIONS
from services.settings import ServiceSettings
from tests.support.kafka import read_topic
from tests.support.patience import wait_until
from tests.support.services import RunningService, run_service
from tests.support.session_topics import SessionTopics, view

pytestmark = pytest.mark.timeout(200)

EACH = 40
PACE_S = 0.7  # between visitors: at every moment some partition has had its first message and no commit


@contextmanager
def joining(kafka: ServiceSettings, folder: Path) -> "Iterator[Future[RunningService]]":
    """One worker runs, and a second is about to."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(number: int) -> RunningService:
            log = folder / f"worker-{number}"
            return stack.enter_context(run_service("session_processor", kafka, log))

        start(0)
        yield pool.submit(start, 1)


def test_what_comes_while_a_second_worker_joins_a_new_group_is_folded(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    topics = SessionTopics(kafka)
    for number in range(5):
        topics.put_product(number)
    sent: dict[str, list[Event]] = {}
    with joining(kafka, tmp_path) as second:
        while not second.done():
            visitor = f"v{len(sent)}"
            sent[visitor] = [view(visitor, at, at % 5) for at in range(EACH)]
            topics.send_events(*sent[visitor])
            time.sleep(PACE_S)
        second.result()
        expected = {visitor: topics.offline(events) for visitor, events in sent.items()}

        def all_are_folded() -> None:
            newest = {each.key(): each.value() for each in read_topic(kafka, SESSIONS)}
            for visitor, session in expected.items():
                assert newest.get(visitor.encode()) == session, visitor

        wait_until(all_are_folded)
