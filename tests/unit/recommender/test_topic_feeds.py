"""What time alone changes: open pages hear of it at the very moment, and popularity is counted anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from schemas.experiments import Experiment, Variant
from schemas.rules import Rule
from schemas.sessions import KIND_OF, SessionEvent
from services.recommender import topic_feeds
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Where
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.popularity import Popularity
from tests.support.clock import Clock
from tests.support.patience import eventually
from tests.support.pipeline import product

HALVES = (Variant(name="a", share=0.5), Variant(name="b", share=0.5))


class Pages:
    """All open pages, as the hub tells them."""

    def __init__(self) -> None:
        self.all = 0
        self.popular = 0

    def all_changed(self) -> None:
        self.all += 1

    def popular_changed(self) -> None:
        self.popular += 1


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks again after a millisecond."""
    monkeypatch.setattr(topic_feeds, "LOOK_S", 0.001)
    monkeypatch.setattr(topic_feeds, "COUNT_EVERY_S", 0.001)


@asynccontextmanager
async def watching(
    rules: RuleSchedule, experiments: ExperimentSchedule, pages: Pages, clock: Clock
) -> AsyncIterator[None]:
    changes = (rules.next_change, experiments.next_change)
    task = asyncio.create_task(topic_feeds.watch(changes, pages, clock))  # type: ignore[arg-type]
    await let_it_look()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def let_it_look() -> None:
    """The watch has looked at the clock some times."""
    for _ in range(5):
        await asyncio.sleep(0.001)


def block(name: str, starts_at: int | None = None, ends_at: int | None = None) -> Rule:
    return Rule(rule_id=name, action="block", products=("p1",), starts_at=starts_at, ends_at=ends_at)


@pytest.mark.usefixtures("fast")
async def test_pages_are_told_once_when_a_rule_begins_and_once_when_it_ends() -> None:
    rules, pages, clock = RuleSchedule(), Pages(), Clock()
    rules.put("a", block("a", 100, 200))
    async with watching(rules, ExperimentSchedule(), pages, clock):
        assert pages.all == 0
        for now, told in ((99, 0), (100, 1), (199, 1), (205, 2), (1000, 2)):
            clock.now = now
            await eventually(lambda told=told: pages.all == told, every_s=0.001)  # type: ignore[misc]
            await let_it_look()
            assert pages.all == told, now


@pytest.mark.usefixtures("fast")
async def test_experiments_begin_and_end_the_same_way() -> None:
    experiments, pages, clock = ExperimentSchedule(), Pages(), Clock()
    experiments.put("x", Experiment(name="x", variants=HALVES, starts_at=100))
    async with watching(RuleSchedule(), experiments, pages, clock):
        clock.now = 100
        await eventually(lambda: pages.all == 1, every_s=0.001)


@pytest.mark.usefixtures("fast")
async def test_a_rule_that_is_put_while_the_watch_sleeps_and_begins_before_it_wakes_is_not_missed() -> None:
    rules, pages, clock = RuleSchedule(), Pages(), Clock()
    async with watching(rules, ExperimentSchedule(), pages, clock):
        clock.now = 50
        rules.put("a", block("a", 60))
        clock.now = 70  # no moment passes between
        await eventually(lambda: pages.all == 1, every_s=0.001)


@pytest.mark.usefixtures("fast")
async def test_what_began_before_the_watch_did_is_no_change() -> None:
    rules, pages, clock = RuleSchedule(), Pages(), Clock()
    clock.now = 500
    rules.put("a", block("a", 100, 200))
    async with watching(rules, ExperimentSchedule(), pages, clock):
        await let_it_look()
        assert pages.all == 0


async def test_the_watch_wakes_at_the_moment_itself_not_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_feeds, "LOOK_S", 60.0)
    loop = asyncio.get_running_loop()
    rules, pages = RuleSchedule(), Pages()
    looks: list[float] = []

    def clock() -> float:
        """From the first look on: on a busy machine that may come late."""
        looks.append(loop.time())
        return (looks[-1] - looks[0]) * 1000

    rules.put("a", block("a", 5))
    watch = topic_feeds.watch((rules.next_change,), pages, clock)  # type: ignore[arg-type]
    task = asyncio.create_task(watch)
    await eventually(lambda: pages.all == 1, every_s=0.001)
    assert loop.time() - looks[0] >= 0.005
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("fast")
async def test_when_pages_are_told_the_rules_that_they_ask_for_are_the_new_ones() -> None:
    rules, pages, clock = RuleSchedule(), Pages(), Clock()
    rules.put("a", block("a", 100))
    assert rules.active_rules("home", "popular", clock.now).blocked == {}
    async with watching(rules, ExperimentSchedule(), pages, clock):
        clock.now = 100
        await eventually(lambda: pages.all == 1, every_s=0.001)
        await let_it_look()
        assert rules.active_rules("home", "popular", clock.now).blocked == {"products": {"p1"}}


@pytest.mark.usefixtures("fast")
async def test_what_is_popular_is_counted_anew_again_and_again_and_pages_are_told() -> None:
    catalogue, pages, clock = Catalogue(), Pages(), Clock()
    counted = Popularity(1000.0, (1.0,) * len(KIND_OF))
    for number in range(3):
        catalogue.put(product(number, popularity=None))
    models = SimpleNamespace(model=lambda _line: None)
    counting = topic_feeds.count(counted, catalogue, pages, clock, models)  # type: ignore[arg-type]
    task = asyncio.create_task(counting)

    def first() -> str:
        return catalogue.popular(1, Where(), 9)[0].product_id

    counted.update([], [SessionEvent(0, b"1", "p1", KIND_OF["purchase"])])
    await eventually(lambda: first() == "p1", every_s=0.001)
    counted.update([], [SessionEvent(9000, b"2", "p2", KIND_OF["purchase"])])
    clock.now = 9000
    await eventually(lambda: first() == "p2", every_s=0.001)
    assert pages.popular >= 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
