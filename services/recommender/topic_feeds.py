"""What Kafka tells the recommender: whole-topic readers, and what goes on by itself once they caught up."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from itertools import groupby
from math import inf
from typing import Final

import structlog
from confluent_kafka import Message

from schemas.topics import (
    ERASURES,
    EXPERIMENTS,
    IDENTITIES,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RULES,
    SESSIONS,
)
from services.kafka.clients import ClientConfig, TopicReader
from services.kafka.topic_watch import ShapeSource
from services.recommender.catalogue import Catalogue
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.pipeline.warmup import warm
from services.recommender.popularity import Popularity
from services.recommender.serving_models import ModelRegistry
from services.recommender.settings import RecommenderSettings
from services.recommender.snapshot import Snapshots
from services.recommender.state import State

log = structlog.get_logger()

SNAPSHOT_EVERY_S: Final = 600.0
# Every reader costs five threads, so topics on which little comes share one, and all of them are read again
# where one is made anew. Those of a group are alike in having an age or none, see `Feeds`.
READ_TOGETHER: Final = (
    (PRODUCTS,),
    (PRODUCT_VECTORS,),
    (ERASURES, IDENTITIES),
    (SESSIONS,),
    (RULES, EXPERIMENTS, MODELS),
)
SLICE: Final = 64  # messages between two turns of the loop: about 3 ms of upserts

Take = Callable[[list[Message]], Coroutine[None, None, None]]
Step = Callable[[], Awaitable[None]]


class Feeds:
    """Reads every topic. A reader waits for the loop, so a burst piles up in Kafka, not in memory.

    `before` is done once all was read and before the first request, `beside` goes on from then.
    """

    def __init__(
        self,
        settings: RecommenderSettings,
        config: ClientConfig,
        state: State,
        snapshots: Snapshots,
        *,
        before: Step,
        beside: tuple[Step, ...],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        self._snapshots = snapshots
        self._before = before
        self._beside = beside
        self._loop = asyncio.get_running_loop()
        # What has an age, so that older values are ignored; those of a topic that is made anew are not to be.
        aged = {PRODUCTS, ERASURES, IDENTITIES}
        takers = {
            PRODUCTS: by_slices(state.products),
            PRODUCT_VECTORS: by_slices(state.vectors),
            ERASURES: state.newest_erasures,
            IDENTITIES: state.newest_identities,
            SESSIONS: state.newest_sessions,
            RULES: state.newest_rules,
            EXPERIMENTS: state.newest_experiments,
            MODELS: state.newest_releases,
        }
        self._config = config
        self._topics = {topic.name: settings.topic(topic) for topic in takers}
        self._readers: dict[str, TopicReader] = {}
        for topics in READ_TOGETHER:
            reader = TopicReader(
                config,
                [settings.topic(topic) for topic in topics],
                self._in_loop({settings.topic(topic): takers[topic] for topic in topics}),
                on_failure,
                held=partial(self._visitors, settings.topic(SESSIONS)) if SESSIONS in topics else None,
                outdates=aged.issuperset(topics),
            )
            self._readers |= dict.fromkeys((topic.name for topic in topics), reader)
        self._starting: str | None = "the first messages of Kafka"

    @property
    def waiting_for(self) -> str | None:
        """What rows are not yet made from: at the start, or of a topic that is made anew."""
        if self._starting is not None:
            return self._starting
        names = (name for name, reader in self._readers.items() if not reader.caught_up)
        return next((f"the topic {name}, which is made anew" for name in names), None)

    def _visitors(self, topic: str) -> list[tuple[str, bytes]]:
        """Not all that were ever seen: there may be millions."""
        return [(topic, visitor_id.encode()) for visitor_id in self._state.sessions.visitor_ids]

    async def run(self) -> None:
        """Reads until cancelled; `waiting_for` is None once all that lay on the topics is applied.

        By then the newest models serve, or are refused, and no code is left to be compiled.
        """
        warming = asyncio.create_task(asyncio.to_thread(warm))
        self._starting = "the copy of the products"
        kept = await asyncio.to_thread(self._snapshots.restore)
        for name, known in kept.items():
            topic = self._topics[name]
            self._readers[name].resume({topic: known.position}, [(topic, key) for key in known.keys])
        readers = dict.fromkeys(self._readers.values())
        shapes = ShapeSource(self._config, list(self._topics.values()))
        for reader in readers:
            reader.start(shapes)
        try:
            for name, reader in self._readers.items():
                self._starting = f"the topic {name}"
                while not await asyncio.to_thread(reader.wait_until_caught_up, 0.5):
                    pass
            self._starting = "compiled code"
            await warming
            self._starting = "the model"
            await self._state.lines.wait_until_settled()
            await self._before()
            gc.collect()
            gc.freeze()  # what was read at the start stays: a full collection over it takes 16 ms
            self._starting = None
            model = self._state.lines.model(None)
            log.info(
                "caught up",
                products=len(self._state.catalogue),
                sessions=len(self._state.sessions),
                model=model.version if model else "none",
            )
            async with asyncio.TaskGroup() as group:
                for step in (*self._beside, self._keep_snapshots):
                    group.create_task(_forever(step))
        finally:
            for reader in readers:
                await asyncio.to_thread(reader.stop)
            await self._state.lines.close()

    async def _keep_snapshots(self) -> None:
        """At once where a start without one would take long, and then now and then, for ever."""
        while True:
            if self._snapshots.is_due and all(reader.caught_up for reader in self._readers.values()):
                positions = {
                    name: known
                    for name in (PRODUCTS.name, PRODUCT_VECTORS.name)
                    for known in self._readers[name].positions.values()
                }
                await self._snapshots.write(positions)
            await asyncio.sleep(SNAPSHOT_EVERY_S)

    def _in_loop(self, takers: Mapping[str, Take]) -> Callable[[list[Message]], None]:
        """Hands messages to the taker of their topic, and waits until it has taken them."""

        async def take(messages: list[Message]) -> None:
            for topic, of_topic in groupby(messages, lambda message: str(message.topic())):
                await takers[topic](list(of_topic))

        def hand_over(messages: list[Message]) -> None:
            asyncio.run_coroutine_threadsafe(take(messages), self._loop).result()

        return hand_over


async def _forever(step: Step) -> None:
    await step()
    await asyncio.Event().wait()  # a step that has nothing to do ends


def by_slices(take: Take) -> Take:
    """In parts, with a turn of the loop between them."""

    async def take_sliced(messages: list[Message]) -> None:
        for start in range(0, len(messages), SLICE):
            await take(messages[start : start + SLICE])
            await asyncio.sleep(0)

    return take_sliced


LOOK_S: Final = 0.2  # so late at most is a change told that was put into the books before the one awaited
A_TICK_MS: Final = 1.0  # timers may ring a little early
COUNT_EVERY_S: Final = 5.0

Clock = Callable[[], float]  # Unix ms
NextChange = Callable[[float], float | None]


async def watch(next_changes: tuple[NextChange, ...], hub: SubscriptionRegistry, clock: Clock) -> None:
    """Makes open pages anew at the very moment when a rule or experiment begins or ends, for ever."""
    seen = clock()  # all changes up to this moment have been told
    while True:
        due = min((at for each in next_changes if (at := each(seen)) is not None), default=inf)
        now = clock()
        if due <= now:
            seen = now
            hub.all_changed()
        else:
            await asyncio.sleep(min((due - now + A_TICK_MS) / 1000, LOOK_S))


async def change_prices(state: State) -> None:
    """What a sale's begin and end change, on open pages too, for ever."""
    while True:
        await state.change_prices()
        await asyncio.sleep(LOOK_S)


async def count(
    popularity: Popularity,
    catalogue: Catalogue,
    hub: SubscriptionRegistry,
    clock: Clock,
    models: ModelRegistry,
) -> None:
    """What is popular now, every few seconds, for ever."""
    while True:
        catalogue.count(popularity.counts(clock(), models.model(None)))
        hub.popular_changed()
        await asyncio.sleep(COUNT_EVERY_S)
