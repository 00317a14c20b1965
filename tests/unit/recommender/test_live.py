"""Whom a change concerns: sockets of the visitor, slots that show the product, rows that are not full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from schemas.directions import form
from schemas.live import Recommendations, Slot
from schemas.products import Product
from schemas.sessions import KIND_OF, Session, SessionEvent, encode
from schemas.vectors import Layout
from services.model.session import Tuning
from services.recommender.catalogue import Catalogue
from services.recommender.impressions import Impressions
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.live.protocol import LiveSubscription
from services.recommender.live.registry import SOCKETS_MAX, SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RequestBuilder
from services.recommender.search.query import Inferred
from services.recommender.search.search import Searcher, UnderstoodBy
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from tests.support.pipeline import without_embedder

LAYOUT = Layout.of(text_width=4, image_width=4)
POPULAR = Slot(name="all", kind="popular", k=3)
FOR_YOU = Slot(name="you", kind="for_you", k=3)


class Page:
    """A socket whose messages are kept; it takes them only as fast as it is let."""

    def __init__(self, subscriber: LiveSubscription) -> None:
        self.subscriber = subscriber
        self.messages: list[Recommendations] = []
        self.open = asyncio.Event()
        self.open.set()
        self.running: asyncio.Task[None] | None = None
        subscriber.page = self

    def push(self) -> None:
        if self.running is None:
            self.running = asyncio.create_task(self._push())

    async def _push(self) -> None:
        await self.subscriber.push(self._take)
        self.running = None

    def erase(self) -> None:
        raise AssertionError("nobody is erased here")

    def close(self) -> None:
        if self.running is not None:
            self.running.cancel()

    async def _take(self, message: bytes) -> None:
        await self.open.wait()
        self.messages.append(msgspec.json.decode(message, type=Recommendations))

    async def settle(self) -> list[Recommendations]:
        """All messages, once nothing is due."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.messages


class AsTheyStand:
    """Understands words as nothing but words."""

    async def understand(self, query: str) -> tuple[Inferred, UnderstoodBy]:
        return Inferred(description=query), "parser"


class Shop:
    """The recommender's state without Kafka and sockets around it."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.turns = asyncio.Semaphore(1)
        self.catalogue = Catalogue()
        self.index = EdgeIndex(LAYOUT, folder)
        self.replica = VectorReplica(LAYOUT, self.catalogue.numbers)
        self.sessions = Sessions(LAYOUT, 10)
        self.hub = SubscriptionRegistry(self.metrics)
        rules = RowLimits(0, 0.2, 9)
        self.rows = RecommendationPipeline(
            self.catalogue,
            self.index,
            self.replica,
            layout=LAYOUT,
            tuning=Tuning(),
            rules=rules,
            model=lambda _line: None,
            metrics=self.metrics,
        )
        self.words = without_embedder(LAYOUT, self.metrics)
        self.searcher = Searcher(AsTheyStand(), self.words)
        self.joined = MergedSessions(self.sessions, IdentityGraph(), self.replica, LAYOUT, Tuning())

    def put(self, number: int, **fields: object) -> None:
        made = Product(
            product_id=f"p{number}",
            name="x",
            price=1.0,
            currency="EUR",
            availability="in_stock",
            updated_at=0,
            popularity=1 / (number + 1),
        )
        if self.catalogue.put(msgspec.structs.replace(made, **fields)):
            self.hub.product_changed(made.product_id)

    def publish(self, visitor_id: str, event_id: str) -> None:
        seen = SessionEvent(1, event_id.encode(), "p0", KIND_OF["view_item"])
        session = Session(visitor_id, (seen,), form(LAYOUT))
        published = PublishedSession(encode(session), caused_by=event_id, accepted_at=1.0, folded_at=2.0)
        self.sessions.put(visitor_id, published)
        self.hub.session_changed(visitor_id, published)

    @contextmanager
    def register(self, page: Page) -> Iterator[None]:
        self.hub.add(page.subscriber)
        try:
            yield
        finally:
            self.hub.remove(page.subscriber)
            page.close()

    def page(self, visitor_id: str, *slots: Slot) -> Page:
        subscriber = LiveSubscription(
            visitor_id,
            rows=self.rows,
            asks=RequestBuilder(self.joined, self.searcher),
            sessions=self.joined,
            impressions=Impressions(None, "recommendations", self.metrics, lambda: 0.0),
            models=lambda _version: {},
            metrics=self.metrics,
            turns=self.turns,
            on_shown=self.hub.record_row,
        )
        page = Page(subscriber)
        subscriber.subscribe(slots)
        return page


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "index")
    for number in range(6):
        shop.put(number)
    yield shop
    shop.index.close()


@pytest.fixture
async def open_page(shop: Shop) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    async with AsyncExitStack() as stack:

        async def open_page(visitor_id: str, *slots: Slot) -> Page:
            page = shop.page(visitor_id, *slots)
            stack.enter_context(shop.register(page))
            await page.settle()
            return page

        yield open_page


Opened = Callable[..., Awaitable[Page]]


async def test_only_the_visitors_own_sockets_hear_of_a_session(shop: Shop, open_page: Opened) -> None:
    mine, again, other = (
        await open_page("me", FOR_YOU),
        await open_page("me", FOR_YOU),
        await open_page("you", FOR_YOU),
    )
    shop.publish("me", "e1")
    assert [each.caused_by for each in await mine.settle()] == [None, "e1"]
    assert [each.caused_by for each in await again.settle()] == [None, "e1"]
    assert len(await other.settle()) == 1


async def test_a_product_matters_to_those_who_show_it(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", POPULAR)
    shop.put(5, price=7.0)
    assert len(await page.settle()) == 1
    shop.put(1, availability="out_of_stock", updated_at=1)
    messages = await page.settle()
    assert [item.product_id for item in messages[-1].items] == ["p0", "p2", "p3"]
    shop.put(3, price=7.0, updated_at=1)
    assert len(await page.settle()) == 3


async def test_a_row_that_is_not_full_hears_of_every_product(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", Slot(name="all", kind="popular", k=7))
    shop.put(6)
    shop.put(7)
    messages = await page.settle()
    assert [len(each.items) for each in messages] == [6, 7]
    shop.put(8)
    assert len(await page.settle()) == 2


async def test_products_that_a_page_names_are_told_as_they_are_now(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", Slot(name="shown", kind="products", product_ids=("p3", "p9", "p1")))
    shop.put(3, availability="out_of_stock", updated_at=1)
    await page.settle()
    shop.put(9, price=7.0)  # the page knew of it before we did
    await page.settle()
    shop.put(2, price=3.0, updated_at=1)  # not on show
    shop.publish("me", "e1")
    messages = await page.settle()
    assert [[each.product_id for each in message.items] for message in messages] == [
        ["p3", "p1"], ["p3", "p1"], ["p3", "p9", "p1"],
    ]  # fmt: skip
    assert messages[1].items[0].availability == "out_of_stock"
    assert messages[2].items[1].price == 7.0
    assert {each.source for each in messages[2].items} == {"named"}


async def test_newer_state_replaces_what_was_not_sent_yet(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", FOR_YOU)
    page.open.clear()
    for number in range(50):
        shop.publish("me", f"e{number}")
        await asyncio.sleep(0)
    page.open.set()
    messages = await page.settle()
    assert len(messages) <= 3
    assert messages[-1].caused_by == "e49"
    assert [each.seq for each in messages] == sorted({each.seq for each in messages})


async def test_a_product_change_does_not_hide_the_event_that_is_due(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", FOR_YOU)
    page.open.clear()
    shop.publish("me", "e1")
    shop.put(1, price=3.0, updated_at=1)
    page.open.set()
    assert (await page.settle())[-1].caused_by == "e1"


async def test_what_an_event_has_moved_does_not_wait_for_other_slots(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", FOR_YOU)
    whole = msgspec.structs.replace(FOR_YOU, distinct=False)
    page.subscriber.subscribe([POPULAR, Slot(name="shown", kind="products", product_ids=("p3",)), whole])
    shop.publish("me", "e1")
    first, *others = (await page.settle())[1:]
    assert (first.slot, first.caused_by) == (FOR_YOU.name, "e1")
    assert [each.slot for each in others] == ["all", "shown"]


async def test_what_an_event_has_moved_comes_in_the_page_s_order(shop: Shop, open_page: Opened) -> None:
    below = msgspec.structs.replace(FOR_YOU, name="below")
    page = await open_page("me", FOR_YOU, below)
    before = len(page.messages)
    page.subscriber.products_changed("below")  # due before the event, and still with it
    shop.publish("me", "e1")
    told = (await page.settle())[before:]
    assert [(each.slot, each.caused_by) for each in told] == [("you", "e1"), ("below", "e1")]


async def test_other_slots_have_their_turn_while_a_visitor_clicks_faster_than_rows_are_made(
    shop: Shop, open_page: Opened
) -> None:
    page = await open_page("me", FOR_YOU)
    clicks = iter(range(2, 10))

    async def click_again(message: bytes) -> None:
        page.messages.append(msgspec.json.decode(message, type=Recommendations))
        if (number := next(clicks, None)) is not None:
            shop.publish("me", f"e{number}")

    page._take = click_again  # type: ignore[method-assign]
    shop.publish("me", "e1")
    page.subscriber.subscribe([POPULAR, Slot(name="shown", kind="products", product_ids=("p3",)), FOR_YOU])
    shop.publish("me", "e1")
    for _ in range(10):
        await page.settle()
    assert [each.slot for each in page.messages[1:7]] == ["you", "all", "you", "shown", "you", "you"]


async def test_other_slots_replace_the_former(shop: Shop, open_page: Opened) -> None:
    page = await open_page("me", FOR_YOU)
    page.subscriber.subscribe([POPULAR])
    assert (await page.settle())[-1].slot == "all"
    shop.publish("me", "e1")
    assert len(await page.settle()) == 2


async def test_who_has_left_is_told_nothing(shop: Shop) -> None:
    page = shop.page("me", FOR_YOU, POPULAR)
    with shop.register(page):
        await page.settle()
    shop.publish("me", "e1")
    shop.put(0, price=5.0, updated_at=1)
    assert len(await page.settle()) == 2


@pytest.mark.parametrize("layout", ["v0/other", LAYOUT.id, form(Layout.of(5, 4))])
async def test_sessions_of_another_layout_or_form_are_no_session(shop: Shop, layout: str) -> None:
    other = Session("me", (SessionEvent(1, b"e", "p0", KIND_OF["view_item"]),), layout, b"\x01\x02")
    shop.sessions.put("me", PublishedSession(encode(other)))
    assert shop.sessions.session("me") is None


async def test_sessions_as_they_were_written_before_are_no_session_and_do_no_harm(shop: Shop) -> None:
    id_ = "0a000000-0000-4000-8000-00000000000f"
    former = ["me", [[1, id_, "p0", "view_item"]], LAYOUT.id, b"\x00\x3c" * LAYOUT.width, [], []]
    shop.sessions.put("me", PublishedSession(msgspec.msgpack.encode(former)))
    page = shop.page("me", FOR_YOU)
    [row] = await page.settle()
    assert {item.source for item in row.items} == {"popular"}


class Waiting(AsTheyStand):
    """Understands words when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def understand(self, query: str) -> tuple[Inferred, UnderstoodBy]:
        await self.go.wait()
        return await super().understand(query)


async def test_words_that_wait_for_the_network_hold_up_no_other_socket(shop: Shop, open_page: Opened) -> None:
    waiting = Waiting()
    shop.searcher = Searcher(waiting, shop.words)
    searching = await open_page("me", Slot(name="found", kind="search", query="boots", k=3), POPULAR)
    other = await open_page("you", POPULAR)
    assert len(await other.settle()) == 1
    assert searching.messages == []
    waiting.go.set()
    assert {each.slot for each in await searching.settle()} == {"found", "all"}


async def test_a_search_that_nobody_shows_any_more_is_not_answered(shop: Shop, open_page: Opened) -> None:
    waiting = Waiting()
    shop.searcher = Searcher(waiting, shop.words)
    page = await open_page("me", Slot(name="found", kind="search", query="boots"))
    page.subscriber.subscribe([Slot(name="found", kind="popular", k=2)])
    waiting.go.set()
    [message] = await page.settle()
    assert [item.product_id for item in message.items] == ["p0", "p1"]


async def test_a_slot_of_the_whole_catalogue_s_category_shows_all_of_it(
    shop: Shop, open_page: Opened
) -> None:
    for number in range(3):
        shop.put(number, category=("Women", "Shoes"), updated_at=1)
    slots = [
        Slot(name=category, kind="popular", category=category, distinct=False)
        for category in ("/", "Women/", "Women/Shoes")
    ]
    messages = await (await open_page("me", *slots)).settle()
    assert {each.slot: len(each.items) for each in messages} == {"/": 6, "Women/": 3, "Women/Shoes": 3}


class Tabs:
    """Sockets of one visitor, as the recommender opens them."""

    def __init__(self, shop: Shop, stack: AsyncExitStack) -> None:
        self.shop = shop
        self.stack = stack
        self.impressions = 0

    def open(self, *slots: Slot) -> Page:
        def record(*_: object, **__: object) -> str:
            self.impressions += 1
            return f"r{self.impressions}"

        shop = self.shop
        impressions = Impressions(None, "recommendations", shop.metrics, lambda: 0.0)
        impressions.record = record  # type: ignore[method-assign]
        subscriber = LiveSubscription(
            "v",
            rows=shop.rows,
            asks=RequestBuilder(shop.joined, shop.searcher),
            sessions=shop.joined,
            impressions=impressions,
            models=lambda _version: {},
            metrics=shop.metrics,
            turns=shop.turns,
            on_shown=shop.hub.record_row,
            siblings=shop.hub.of_visitor,
            lock=shop.hub.lock("v"),
        )
        page = Page(subscriber)
        subscriber.subscribe(slots)
        self.stack.enter_context(shop.register(page))
        return page

    @property
    def computed(self) -> float:
        return self.shop.metrics.registry.get_sample_value("eddy_recommender_compute_seconds_count") or 0.0


@pytest.fixture
async def tabs(shop: Shop) -> AsyncIterator[Tabs]:
    async with AsyncExitStack() as stack:
        yield Tabs(shop, stack)


async def test_all_sockets_of_a_visitor_share_one_computation_and_one_impression(
    shop: Shop, tabs: Tabs
) -> None:
    open_pages = [tabs.open(FOR_YOU) for _ in range(SOCKETS_MAX)]
    assert shop.hub.is_full("v")
    for page in open_pages:
        await page.settle()
    assert (tabs.computed, tabs.impressions) == (1, 1)
    shop.publish("v", "click")
    for page in open_pages:
        await page.settle()
    messages = [page.messages[-1] for page in open_pages]
    assert (tabs.computed, tabs.impressions) == (2, 2)
    assert {each.recommendation_id for each in messages} == {"r2"}
    assert {each.caused_by for each in messages} == {"click"}
    other = tabs.open(Slot(name="you", kind="for_you", k=2))  # asks for something else
    await other.settle()
    assert tabs.computed == 3


async def test_a_row_that_is_about_to_change_is_not_taken_over(shop: Shop, tabs: Tabs) -> None:
    slow, quick = tabs.open(FOR_YOU), tabs.open(FOR_YOU)
    for page in (slow, quick):
        await page.settle()
    slow.open.clear()  # its client takes nothing any more
    shop.publish("v", "first")
    await quick.settle()
    shop.publish("v", "second")
    shop.put(9, popularity=2.0)
    newest = (await quick.settle())[-1]
    assert newest.caused_by == "second"
