"""Product pages as a person sees them: how many different products, which reasons hold, what goes with what.

`python -m tests.benchmark.pages` prints the figures as JSON. In one process, with the demo's catalogue,
stand-in vectors and the model that the demo ships, which has learned from simulated shoppers: the figures
tell that rows differ and that what they say is true, not how shoppers like them.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import combinations, islice
from pathlib import Path
from statistics import fmean, median
from typing import Final

import msgspec
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from schemas import sessions
from schemas.events import Event
from schemas.live import PageContext, RecommendedItem, Slot, SlotKind
from schemas.products import Product
from schemas.sessions import Session
from services.model.artifact import load
from services.model.behaviour import Behaviour
from services.model.session import Tuning, fold
from services.model.session_index import SessionIndex
from services.product_numbers import ProductNumbers
from services.recommender.api.page import page_routes
from services.recommender.api.recommendations import Recommended, RequestHandler, recommendation_routes
from services.recommender.catalogue import Catalogue
from services.recommender.impressions import Impressions
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.distinct import find_shown
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import (
    RecommendationRequest,
    RequestBuilder,
    Row,
    SharedLookups,
)
from services.recommender.search.search import FallbackInterpreter, Searcher
from services.recommender.search.vocabulary import Vocabulary
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from services.web.auth import ReaderAuth, TokenSigner
from services.web.openapi import MsgspecApi
from storefront.demo.catalogue.generator import made
from storefront.demo.shoppers.complements import GOES_WITH
from storefront.demo.shoppers.shelf import Catalogue as DemoCatalogue
from storefront.demo.shoppers.shelf import behaviour_of
from storefront.demo.shoppers.visits import Visit, simulated
from tests.benchmark.standin_vectors import content_of
from tests.support.pipeline import without_embedder

DEMO: Final = 2_400
PAGES: Final = 30
SAMPLE: Final = 200
ROUNDS: Final = 6
K: Final = 12
SEED: Final = 5
VISITS: Final = 20_000  # a seed of simulated visits that the model has not learned from
KEY: Final = "the key of the benchmark's back end"
SHOWN: Final = Where(availability=AVAILABLE)
ON_PRODUCT: Final = PageContext(type="product")
KINDS: Final[tuple[SlotKind, ...]] = ("for_you", "similar", "also_liked", "complement_topic")
ABOUT: Final[Mapping[SlotKind, str]] = {
    "similar": "similar",
    "also_liked": "also liked",
    "complement_topic": "goes with, other category",
    "complement_type": "goes with, other type",
}


class Shelf(msgspec.Struct, frozen=True):
    """Where a product stands: its top-level category, and its type."""

    top: str
    type: str


class ProductRow(msgspec.Struct, frozen=True):
    """The products of the row of one kind about one product."""

    about: str
    products: tuple[str, ...]


class Spread(msgspec.Struct, frozen=True):
    """How far the rows of one kind spread. Shares are of all products, means are over rows not empty.

    `tops` and `types` count distinct ones in a row; `same_top` and `same_type` are the shares of products
    that stand where the row's own does, `fitting` of those whose type goes with the row's product by the
    table that the simulated shoppers act by.
    """

    rows: int
    empty: int
    length: float
    tops: float
    types: float
    same_top: float
    same_type: float
    fitting: float


class PageFigures(msgspec.Struct, frozen=True):
    """Of `pages` product pages with four rows of `k` each, whose visitors came there by a simulated visit.

    `different` products on a page; `pages_of_one`: the most pages that one product is on; `coverage`: the
    share of the catalogue that is on any. `reasons` say that visits hold two products, and `false_reasons`
    are those of them that do not hold so often in the visits of the model, counted one by one.
    `ms_together` are all rows of a page in one request, `ms_apart` in one each, medians; `together` is one
    over the other. `spreads` and `overlap` are of rows about `sample` products without a visitor;
    `fitting_by_chance` is what rows of any products would have as `fitting`.
    """

    products: int
    pages: int
    k: int
    different: float
    least_different: int
    pages_of_one: int
    coverage: float
    reasons: int
    false_reasons: int
    ms_together: float
    ms_apart: float
    together: float
    sample: int
    spreads: dict[str, Spread]
    overlap: dict[str, float]
    fitting_by_chance: float


def spread(rows: Sequence[ProductRow], shelves: Mapping[str, Shelf]) -> Spread:
    """How far rows of one kind spread; all zero where there is nothing to count."""
    full = [row for row in rows if row.products]
    pairs = [(shelves[row.about], shelves[product]) for row in full for product in row.products]
    return Spread(
        rows=len(rows),
        empty=len(rows) - len(full),
        length=_mean([len(row.products) for row in full]),
        tops=_mean([len({shelves[product].top for product in row.products}) for row in full]),
        types=_mean([len({shelves[product].type for product in row.products}) for row in full]),
        same_top=_mean([about.top == there.top for about, there in pairs]),
        same_type=_mean([about.type == there.type for about, there in pairs]),
        fitting=_mean([there.type in GOES_WITH.get(about.type, ()) for about, there in pairs]),
    )


def overlap(some: Sequence[ProductRow], others: Sequence[ProductRow]) -> float:
    """The mean share of products that two rows about one product have in common, of the longer row.

    Pairs of empty rows are passed over. Raises ValueError for rows about different products.
    """
    shares = []
    for one, other in zip(some, others, strict=True):
        if one.about != other.about:
            raise ValueError(f"a row about {one.about} beside one about {other.about}")
        if longer := max(len(one.products), len(other.products)):
            shares.append(len({*one.products} & {*other.products}) / longer)
    return _mean(shares)


def fitting_by_chance(asked: Sequence[str], shelves: Mapping[str, Shelf]) -> float:
    """The mean share of the catalogue that goes with a product."""
    types = Counter(shelf.type for shelf in shelves.values())
    fitting = [GOES_WITH.get(shelves[product_id].type, {}) for product_id in asked]
    return _mean([sum(types[each] for each in kinds) / types.total() for kinds in fitting])


class VisitCounter:
    """Counts visits that hold two products, one by one, from the arrays of a model's artifact."""

    def __init__(self, products: Sequence[str], index: SessionIndex) -> None:
        self._visits_of: defaultdict[str, set[int]] = defaultdict(set)
        for item, visit in zip(index.items.tolist(), index.session_of.tolist(), strict=True):
            self._visits_of[products[item]].add(visit)

    def count(self, one: str, other: str) -> int:
        """How many hold both."""
        return len(self._visits_of[one] & self._visits_of[other])

    def is_false(self, item: RecommendedItem) -> bool:
        """Whether its reason tells another number of visits, or of none."""
        assert item.reason is not None
        assert item.reason.product_id is not None
        counted = self.count(item.product_id, item.reason.product_id)
        return not counted or counted != item.reason.visits


class DemoShop:
    """The demo's products with stand-in vectors, the model that it ships, and rows."""

    def __init__(self, folder: Path) -> None:
        found = behaviour_of(DemoCatalogue(DEMO))
        assert found is not None
        artifact = load(found[0])
        self.products: list[Product] = [each.product for each in made(DEMO, DemoCatalogue(DEMO).seed)]
        self.shelves = {each.product_id: Shelf(each.top_category, each.type or "") for each in self.products}
        self.model = Behaviour.of(artifact)
        self.counter = VisitCounter(self.model.products, SessionIndex.of(artifact.arrays))
        self._layout, numbers = ServiceSettings().layout, ProductNumbers()
        self._replica, catalogue = VectorReplica(self._layout, numbers), Catalogue(numbers)
        index = CachedIndex(EdgeIndex(self._layout, folder))
        described = [(each, content_of(each, self._layout)) for each in self.products]
        for each, vector in described:
            catalogue.put(each)
            self._replica.put(each, vector.astype("float16"))
        index.upsert(described)
        index.optimise()
        self._rows = RecommendationPipeline(
            catalogue,
            index,
            self._replica,
            layout=self._layout,
            tuning=Tuning(),
            rules=RowLimits(k=0, diversity=0.2, brand_max=4),
            model=lambda _line: self.model,
            metrics=Metrics(),
        )
        self._sessions = Sessions(self._layout, 1_000)
        self.api = self._create_api(catalogue)

    def _create_api(self, catalogue: Catalogue) -> ASGIApp:
        """The routes of rows, without Kafka around them."""
        metrics, door = Metrics(), ReaderAuth(TokenSigner(SecretStr(KEY)), SecretStr(KEY))
        joined = MergedSessions(self._sessions, IdentityGraph(), self._replica, self._layout, Tuning())
        words = without_embedder(self._layout, metrics)
        vocabulary = Vocabulary.of(self.products)
        understanding = FallbackInterpreter(vocabulary=lambda: vocabulary, clock=time.monotonic)
        searcher = Searcher(understanding, words, lambda: vocabulary)
        builder = RequestBuilder(joined, searcher)
        answerer = RequestHandler(
            door,
            self._rows,
            sessions=joined,
            impressions=Impressions(None, "", metrics, lambda: 0.0),
            models=lambda _version: {},
            waiting_for=lambda: None,
            metrics=metrics,
        )
        app = MsgspecApi("rows", "of the benchmark", [Recommended], _nothing)
        app.include_router(recommendation_routes(answerer, catalogue, searcher, builder))
        app.include_router(page_routes(door, answerer, self._rows, builder))
        return app

    def remember(self, session: Session) -> None:
        """As read from the topic."""
        self._sessions.put(session.visitor_id, PublishedSession(sessions.encode(session)), session)

    async def fetch_page(self, about: str, visitor_id: str) -> None:
        """The four rows in one request."""
        slots = [
            {"name": kind, "kind": kind, "k": K, "page": {"type": "product"}}
            | ({} if kind == "for_you" else {"product_id": about})
            for kind in KINDS
        ]
        body = msgspec.json.encode({"visitor_id": visitor_id, "slots": slots})
        await _call(self.api, "POST", "/v1/page", "", body)

    async def fetch_rows(self, about: str, visitor_id: str) -> None:
        """The same in four."""
        query = f"visitor_id={visitor_id}&k={K}"
        await _call(self.api, "GET", "/v1/recommendations", query)
        for path in ("similar", "also-liked", "complements"):
            await _call(self.api, "GET", f"/v1/products/{about}/{path}", query)

    def session(self, visit: Visit) -> Session:
        """What is known of a visitor after this visit."""
        session = Session(visit.visitor_id)
        for number, step in enumerate(visit.steps):
            event = Event(
                event_id=f"00000000-0000-4000-8000-{number:012d}",
                type=step.type,
                visitor_id=visit.visitor_id,
                occurred_at=step.at,
                product_id=step.product_id,
            )
            session = fold(session, event, self._replica, self._layout, Tuning())
        return session

    async def page(self, about: str, session: Session) -> dict[str, Row]:
        """The four rows of a product page, made together."""
        slots = [Slot(name=kind, kind=kind, k=K, product_id=about) for kind in KINDS]
        shared, rows = SharedLookups(), dict[str, Row]()
        for slot in slots:
            shown = find_shown(slots, slot.name, rows)
            asked = _request(slot.kind, about, session, shown)
            rows[slot.name] = (await self._rows.run(asked, shared)).row
        return rows

    async def row(self, kind: SlotKind, about: str, session: Session | None = None) -> Row:
        """One of them by itself."""
        return (await self._rows.run(_request(kind, about, session, frozenset()))).row


def _request(
    kind: SlotKind, about: str, session: Session | None, shown: frozenset[str]
) -> RecommendationRequest:
    is_own = kind == "for_you"
    return RecommendationRequest(
        kind,
        K,
        SHOWN,
        session=session,
        product_id=None if is_own else about,
        shown=shown,
        page=ON_PRODUCT,
        without_seen=is_own,
        without_bought=is_own,
    )


async def measure(shop: DemoShop, pages: int = PAGES, sample: int = SAMPLE) -> PageFigures:
    """Makes the pages, and then every kind of row about products drawn at random."""
    visits = [*islice(simulated(shop.products, 4 * pages, VISITS), 0, None, 4)]
    visitors = [(visit.steps[-1].product_id, shop.session(visit)) for visit in visits]
    made_pages = [await shop.page(about, session) for about, session in visitors]
    different = [len({item.product_id for row in page.values() for item in row}) for page in made_pages]
    on = Counter(
        product_id
        for page in made_pages
        for product_id in {item.product_id for row in page.values() for item in row}
    )
    witnessed = [
        item
        for page in made_pages
        for row in page.values()
        for item in row
        if item.reason is not None and item.reason.kind in {"co_visited", "complement"}
    ]
    together, apart = await _time(shop, visitors)
    asked = random.Random(SEED).sample(sorted(shop.shelves), min(sample, len(shop.shelves)))
    rows: dict[str, list[ProductRow]] = {name: [] for name in ABOUT.values()}
    for kind, name in ABOUT.items():
        for product_id in asked:
            row = await shop.row(kind, product_id)
            rows[name].append(ProductRow(product_id, tuple(item.product_id for item in row)))
    return PageFigures(
        products=len(shop.products),
        pages=len(made_pages),
        k=K,
        different=_mean(different),
        least_different=min(different),
        pages_of_one=max(on.values()),
        coverage=round(len(on) / len(shop.products), 4),
        reasons=len(witnessed),
        false_reasons=sum(map(shop.counter.is_false, witnessed)),
        ms_together=round(together, 3),
        ms_apart=round(apart, 3),
        together=round(together / apart, 3),
        sample=len(asked),
        spreads={name: spread(each, shop.shelves) for name, each in rows.items()},
        overlap={f"{one} / {other}": overlap(rows[one], rows[other]) for one, other in combinations(rows, 2)},
        fitting_by_chance=fitting_by_chance(asked, shop.shelves),
    )


async def _time(shop: DemoShop, visitors: Sequence[tuple[str, Session]]) -> tuple[float, float]:
    """Medians in ms of the thread's own time, from request to answer: a page's rows in one, and in four."""
    for _, session in visitors:
        shop.remember(session)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(ROUNDS):
        for nth, (about, session) in enumerate(visitors):
            first = bool((turn + nth) % 2)  # what comes first finds the processor's caches cold
            for is_together in (first, not first):
                fetch = shop.fetch_page if is_together else shop.fetch_rows
                started = time.thread_time()
                await fetch(about, session.visitor_id)
                taken[is_together].append(1_000 * (time.thread_time() - started))
    return median(taken[True]), median(taken[False])


async def _call(app: ASGIApp, method: str, path: str, query: str, body: bytes = b"") -> None:
    """One request without a client and a network around it. Raises RuntimeError unless it is answered 200."""
    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "scheme": "http",
        "server": ("eddy", 80),
        "client": ("127.0.0.1", 1),
    }
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    if status != HTTPStatus.OK:
        raise RuntimeError(f"{method} {path} is answered {status}")


@asynccontextmanager
async def _nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


def _mean(numbers: Sequence[float]) -> float:
    return round(fmean(numbers), 4) if numbers else 0.0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        figures = asyncio.run(measure(DemoShop(Path(place) / "index")))
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
