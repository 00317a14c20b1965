"""What is left after minutes of kills, stops and poison: nothing lost, nothing twice, every page right.

`python -m tests.benchmark chaos --minutes 10` starts a stack of its own, opens pages, clicks on them at a
steady pace, and meanwhile kills every process in turn with -9, stops broker and workers for some seconds
(SIGSTOP: alive, but silent, as in a long pause or on a machine that swaps), and writes a poisoned message
onto one of the topics each second. Clicks are sent again until they are accepted, as tracker.js does.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import msgspec
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table
from tenacity import RetryError, retry, retry_if_result, stop_after_delay, wait_fixed

from infra.stack.lifecycle import Stack, StepFailed, answers, kafka_answers
from schemas.topics import TOPICS
from services.kafka.clients import LIBRDKAFKA, Headers, producer_config
from services.settings import ServiceSettings
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.system import FLOW, Tell, fresh_settings, products_of
from tests.support import odd_bytes
from tests.support.crowd import Count, Crowd, count, wrong_pages

VICTIMS: Final = (*FLOW, "embedder", "shop")
SILENCED: Final = ("kafka", "session_processor", "embedder", "recommender", "ingest")
SILENT_S: Final = 8.0  # longer than the group's session timeout of the stack: the worker loses its place
CALM_S: Final = 3.0  # between two blows
BACK_S: Final = 120.0
SETTLE_S: Final = 180.0  # how long the rest may take to arrive once the blows are over
SEED: Final = 13


class ChaosFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to the stack, and what is left of it. Times in seconds."""

    machine: Machine
    seconds: float
    pages: int
    visitors: int
    accepted: int
    kills: dict[str, int]
    silences: dict[str, int]
    poisoned: dict[str, int]
    longest_without_202_s: float
    longest_without_push_s: float
    settled_after_s: float
    left: Count
    wrong_pages: int


def measure(
    tell: Tell, progress: Callable[[str], None], *, minutes: float, rate: float, pages: int
) -> ChaosFigures:
    """Runs it all, and counts. Raises CannotStart or StepFailed where the stack does not come up."""
    # A model that grows in between would rank other rows than those on pages where nobody clicks any more.
    os.environ["EDDY_LIVE_LEARNING_S"] = "0"
    stack = Stack(fresh_settings())
    try:
        stack.up(tell)
        return asyncio.run(_Chaos(stack, progress).run(60 * minutes, rate, pages))
    finally:
        stack.down()


class _Chaos:
    def __init__(self, stack: Stack, progress: Callable[[str], None]) -> None:
        self._stack = stack
        self._settings = ServiceSettings(kafka_bootstrap=stack.bootstrap)
        self._progress = progress
        self._random = random.Random(SEED)
        self._kills: Counter[str] = Counter()
        self._silences: Counter[str] = Counter()
        self._poisoned: Counter[str] = Counter()

    async def run(self, seconds: float, rate: float, pages: int) -> ChaosFigures:
        products = await asyncio.to_thread(products_of, self._settings)
        crowd = Crowd(self._stack.ingest_url, self._stack.recommender_url, products, rate=rate, retry=True)
        async with crowd.watching():
            await crowd.arrive(pages)
            until = monotonic() + seconds
            poisoning = asyncio.create_task(self._poison())
            clicking = asyncio.create_task(crowd.click_until(lambda: monotonic() > until))
            await self._beat(until)
            await clicking
            poisoning.cancel()
            self._progress("the blows are over: waiting until every event is counted and every page is right")
            began = monotonic()
            left, wrong = await self._settle(crowd, began + SETTLE_S)
            return ChaosFigures(
                machine=this_machine(),
                seconds=seconds,
                pages=pages,
                visitors=len(crowd.shoppers),
                accepted=crowd.accepted,
                kills=dict(self._kills),
                silences=dict(self._silences),
                poisoned=dict(self._poisoned),
                longest_without_202_s=round(crowd.answers.longest_s, 2),
                longest_without_push_s=round(crowd.pushes.longest_s, 2),
                settled_after_s=round(monotonic() - began, 1),
                left=left,
                wrong_pages=len(wrong),
            )

    async def _beat(self, until: float) -> None:
        """One blow after the other, each over before the next, so that it can be told which one hurt."""
        while monotonic() < until:
            for name in VICTIMS:
                if monotonic() > until:
                    return
                await self._kill(name)
            for name in SILENCED:
                if monotonic() > until:
                    return
                await self._silence(name)

    async def _kill(self, name: str) -> None:
        before = self._stack.pid(name)
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGKILL)
        self._kills[name] += 1
        began = monotonic()
        await self._until_back(name, other_than=before)
        self._progress(f"killed {name}, which is ready again after {monotonic() - began:.1f} s")
        await asyncio.sleep(CALM_S)

    async def _silence(self, name: str) -> None:
        pid = self._stack.pid(name)
        self._silences[name] += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(SILENT_S)
            os.kill(pid, signal.SIGCONT)
        began = monotonic()
        await self._until_back(name, other_than=0)
        self._progress(f"stopped {name} for {SILENT_S:.0f} s, ready {monotonic() - began:.1f} s after")
        await asyncio.sleep(CALM_S)

    async def _until_back(self, name: str, other_than: int) -> None:
        @retry(
            stop=stop_after_delay(BACK_S), wait=wait_fixed(0.1), retry=retry_if_result(lambda back: not back)
        )
        async def is_back() -> bool:
            return await asyncio.to_thread(self._is_back, name, other_than)

        try:
            await is_back()
        except RetryError:
            raise StepFailed(f"{name} is not back after {BACK_S:.0f} s:\n{self._stack.log(name)}") from None

    def _is_back(self, name: str, other_than: int) -> bool:
        if self._stack.pid(name) in {0, other_than}:
            return False
        if name == "kafka":
            return kafka_answers(self._stack.bootstrap)
        return answers(f"http://127.0.0.1:{self._stack.ports[name]}/readyz")

    async def _poison(self) -> None:
        config = producer_config(self._settings, linger_ms=1, timeout_ms=60_000)
        producer = Producer(config | {"logger": LIBRDKAFKA})
        poison = {topic.name: [*odd_bytes.messages(topic)] for topic in TOPICS}
        try:
            while True:
                topic = self._random.choice(TOPICS)
                key, value, headers = self._random.choice(poison[topic.name])
                said: Headers = [*headers]
                with suppress(BufferError):
                    producer.produce(self._settings.topic(topic), value, key, headers=said)
                    self._poisoned[topic.name] += 1
                producer.poll(0)
                await asyncio.sleep(1)
        finally:
            await asyncio.to_thread(producer.flush, 30)

    async def _settle(self, crowd: Crowd, until: float) -> tuple[Count, list[str]]:
        """The counts once all is right, or as they are when the time is over."""
        while True:
            left = await asyncio.to_thread(count, self._settings, crowd.shoppers)
            wrong = await wrong_pages(self._stack.recommender_url, crowd.open)
            if (left.is_whole and not wrong) or monotonic() > until:
                return left, wrong
            await asyncio.sleep(1)


def show(console: Console, figures: ChaosFigures) -> None:
    """The figures as a table."""
    table = Table("chaos", "")
    blows = ("kills", "silences", "poisoned")
    for name, value in msgspec.to_builtins(figures).items():
        if name in blows:
            table.add_row(name, f"{sum(value.values())}: " + ", ".join(f"{k} {n}" for k, n in value.items()))
        elif name == "left":
            for each, number in value.items():
                table.add_row(each.replace("_", " "), f"{number:,}", style=None)
        elif name != "machine":
            table.add_row(name.replace("_", " "), f"{value:,}")
    console.print(table)
