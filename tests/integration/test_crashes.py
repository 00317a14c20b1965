"""Under load: every service killed, the broker restarted. What got a 202 counts exactly once."""

import asyncio
import os
import signal
from typing import Final

import pytest

from infra.stack.lifecycle import Stack, answers, kafka_answers
from services.settings import ServiceSettings
from tests.support.crowd import PER_VISITOR, Crowd, count, wrong_pages
from tests.support.patience import patiently

pytestmark = pytest.mark.timeout(600)  # it may be the first, which waits for the whole stack

VISITORS: Final = 80
RATE: Final = 60.0  # events a second, all visitors together


async def _crash_one_after_another(stack: Stack, crowd: Crowd) -> None:
    embedder = _kill(stack, "embedder")  # away for the longest: the others die meanwhile
    for name in ("ingest", "session_processor", "recommender"):
        before = _kill(stack, name)
        await _until_ready(stack, name, other_than=before)
        await _until_accepting(crowd)
    await _until_ready(stack, "embedder", other_than=embedder)
    await asyncio.to_thread(stack.supervisor.stop, "kafka")
    await asyncio.to_thread(stack.supervisor.start, "kafka")
    await _until_accepting(crowd)


def _kill(stack: Stack, name: str) -> int:
    """kill -9; the process id that it had."""
    pid = stack.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


@patiently(60)
async def _until_ready(stack: Stack, name: str, other_than: int) -> None:
    assert stack.pid(name) not in (0, other_than)
    port = stack.ports[name]
    assert await asyncio.to_thread(answers, f"http://127.0.0.1:{port}/readyz")


async def _until_accepting(crowd: Crowd) -> None:
    """Until 50 more events were accepted: the load goes on between two crashes."""
    wanted = crowd.accepted + 50

    @patiently(60, 0.05)
    async def check_accepted() -> None:
        assert crowd.accepted >= wanted

    await check_accepted()


async def test_every_accepted_event_counts_once_and_every_page_shows_the_right_state(stack: Stack) -> None:
    settings = ServiceSettings(kafka_bootstrap=stack.bootstrap)
    products = [f"p{number:04d}" for number in range(1, 500)]
    crowd = Crowd(stack.ingest_url, stack.recommender_url, products, rate=RATE, retry=False)
    async with crowd.watching():
        await crowd.arrive(VISITORS)
        done = asyncio.Event()
        clicking = asyncio.create_task(crowd.click_until(done.is_set))
        await _until_accepting(crowd)
        await _crash_one_after_another(stack, crowd)
        done.set()
        await clicking
        assert len(crowd.shoppers) == VISITORS, f"the crashes took more than {PER_VISITOR} clicks of each"
        await _all_is_folded(settings, crowd)
        await _all_is_shown(stack, crowd)
    assert all(shopper.connections >= 2 for shopper in crowd.shoppers)
    assert kafka_answers(stack.bootstrap)


@patiently(60, 0.5)
async def _all_is_folded(settings: ServiceSettings, crowd: Crowd) -> None:
    """Each session holds every accepted event once, and is what fold makes of the topic."""
    found = await asyncio.to_thread(count, settings, crowd.shoppers)
    assert (found.lost, found.double, found.foreign, found.different) == (0, 0, 0, 0), found


@patiently(60, 0.5)
async def _all_is_shown(stack: Stack, crowd: Crowd) -> None:
    """Every open page shows what a page opened now would show."""
    assert await wrong_pages(stack.recommender_url, crowd.open) == []
