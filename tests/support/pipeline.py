"""A small shop for the tests of rows: thirty products, a real index, rules, variants and models to be set."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import numpy as np
import numpy.typing as npt

from schemas.events import Event, EventType
from schemas.live import SlotKind
from schemas.products import Product
from schemas.rules import Rule
from schemas.sessions import Session
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.content import category_vector, point, price_point, signs
from services.model.session import Tuning, fold
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Hit, IndexAway, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.experiments import AS_EVERYONE, Assignment
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RecommendationRequest, RecommendationResult
from services.recommender.search.query import Inferred
from services.recommender.search.query_vectors import WordVector, WordVectorClient
from services.recommender.search.search import FallbackInterpreter, Search, Searcher
from services.recommender.search.vocabulary import Vocabulary
from services.vector_replica import VectorReplica

LAYOUT: Final = Layout.of(text_width=8, image_width=4)
SHELVES: Final = ("Shoes", "Lamps", "Tents")
COUNT: Final = 30
SHOWN: Final = Where(availability=AVAILABLE)
# Who looked at p0 went on to p1, p2 and p4, each of another shelf, again and again; and p20 with p21.
PAST: Final = [["p0", "p1", "p2", "p4"]] * 5 + [["p20", "p21"]]
# Beside p0 all products were looked at, and of shoes two elsewhere, too: all but shoes go with it.
TOGETHER = [["p0", *(f"p{number}" for number in range(1, COUNT))]] * 3 + [["p21", "p27"]] * 3


class MayBeAway(CachedIndex):
    """A real index whose network can be cut, and which takes so long that something happens meanwhile."""

    away = False
    questions = 0
    queries = 0  # a question may be several
    meanwhile: Callable[[int], None] | None = None  # is told the number of the question

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        if self.away:
            raise IndexAway("cut by the test")
        found = super().nearest_many(queries, k, where)
        self.questions += 1
        self.queries += len(queries)
        if self.meanwhile is not None:
            self.meanwhile(self.questions)
        return found


def product(number: int, **fields: object) -> Product:
    """Shelves and brands take turns; every fourth product is red, and a higher number costs more."""
    made = Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=1.0 + number,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(SHELVES[number % 3],),
        brand=f"Brand {number % 5}",
        type=f"{SHELVES[number % 3]} of kind {number % 2}",
        tags=("red",) if number % 4 == 0 else (),
        popularity=1 / (number + 1),
    )
    return msgspec.structs.replace(made, **fields)


def content(number: int, of: Product) -> Vector:
    """Text and picture are like those of the shelf; the other segments are as the embedder makes them."""
    widths = dict(LAYOUT.widths)
    learned = widths["text"] + widths["image"] + widths["caption"]
    shelf = np.random.default_rng(1000 + number % 3).normal(size=learned)
    own = np.random.default_rng(number).normal(size=learned)
    segments: list[npt.NDArray[Any]] = [
        shelf + 0.5 * own,
        category_vector(of.category, widths["category"]),
        signs(of.brand, widths["brand"]) if of.brand else np.zeros(widths["brand"]),
        signs(of.type, widths["type"]) if of.type else np.zeros(widths["type"]),
        price_point(of.price),
        point(of.popularity or 0.0),
    ]
    return LAYOUT.normalise(np.concatenate(segments)).astype(np.float32)


class PipelineShop:
    """The products, and what rows are made from; `now` is the clock of its rules."""

    def __init__(self, folder: Path, brand_max: int = 99, diversity: float = 0.2) -> None:
        self.catalogue = Catalogue()
        self.replica = VectorReplica(LAYOUT, self.catalogue.numbers)
        self.index = MayBeAway(EdgeIndex(LAYOUT, folder))
        self.model: Behaviour | None = None
        self.lines: dict[str, Behaviour] = {}  # beside the shop's own
        self.swaps: Iterator[Behaviour] | None = None  # a generation each time somebody takes the reference
        self.rules, self.now = RuleSchedule(), 0.0
        self.treatments: dict[str, Assignment] = {}
        self.limits = RowLimits(0, diversity=diversity, brand_max=brand_max)
        self.explore(0.0)
        for number in range(COUNT):
            self.put(number)
        self.describe(*range(COUNT))

    def explore(self, share: float) -> None:
        """Gives chance another share of rows from now on."""
        self.rows = RecommendationPipeline(
            self.catalogue,
            self.index,
            self.replica,
            layout=LAYOUT,
            tuning=Tuning(),
            rules=self.limits,
            model=self.serving,
            metrics=Metrics(),
            treatment=lambda visitor_id: self.treatments.get(visitor_id or "", AS_EVERYONE),
            in_force=lambda slot, kind: self.rules.active_rules(slot, kind, self.now),
            clock=lambda: self.now,
            explores=share,
        )

    def serving(self, line: str | None = None) -> Behaviour | None:
        if line is not None:
            return self.lines.get(line)
        return next(self.swaps) if self.swaps else self.model

    def put(self, number: int, **fields: object) -> None:
        self.catalogue.put(product(number, **fields))

    def describe(self, *numbers: int) -> None:
        """Gives products their vectors, in the replica and in the index."""
        described = [(each, content(number, each)) for number in numbers for each in [product(number)]]
        for known, vector in described:
            self.replica.put(known, vector.astype(np.float16))
        self.index.upsert(described)

    def rule(self, rule_id: str, action: str, **fields: Any) -> None:
        self.rules.put(rule_id, Rule(rule_id=rule_id, action=action, **fields))  # type: ignore[arg-type]

    def session(self, *products: str, type_: EventType = "view_item") -> Session:
        session = Session("v")
        for number, product_id in enumerate(products):
            event = Event(
                event_id=f"00000000-0000-4000-8000-{number:012d}",
                type=type_,
                visitor_id="v",
                occurred_at=1_000 * number,
                product_id=product_id,
            )
            session = fold(session, event, self.replica, LAYOUT, Tuning())
        return session

    async def ask(
        self, kind: SlotKind, k: int = 6, where: Where = SHOWN, **fields: Any
    ) -> RecommendationResult:
        return await self.rows.run(RecommendationRequest(kind, k, where, **fields))

    async def search(
        self, told: Inferred | None = None, k: int = 6, like: str | None = None, **fields: Any
    ) -> RecommendationResult:
        """What was understood, its words being like what a product says and shows."""
        inferred = told or Inferred()
        words = None
        if like is not None and (vector := self.replica.vector(like)) is not None:
            words = WordVector(vector[LAYOUT.slices["text"]], vector[LAYOUT.slices["image"]])
        named, is_nonsense = fields.pop("named", ()), fields.pop("is_nonsense", False)
        search = Search(inferred, words=words, named=named, is_nonsense=is_nonsense)
        given = fields.pop("where", SHOWN)
        return await self.ask("search", k, search.narrow(given), search=search, given=given, **fields)

    async def row(self, *products: str, k: int = 6, where: Where = SHOWN) -> RecommendationResult:
        return await self.for_you(self.session(*products), k, where)

    async def for_you(self, session: Session | None, k: int, where: Where = SHOWN) -> RecommendationResult:
        return await self.ask("for_you", k, where, session=session, without_seen=True)


def without_embedder(layout: Layout, metrics: Metrics) -> WordVectorClient:
    """Nobody turns words into vectors."""
    return WordVectorClient(
        None,
        layout,
        timeout_s=1,
        client=httpx.AsyncClient(verify=False),
        away=metrics.words_away,
        seconds=metrics.words,
    )


def parsing_searcher(products: Sequence[Product], metrics: Metrics) -> Searcher:
    """Understands words by the parser, with these products' names, and turns none into vectors."""
    vocabulary = Vocabulary.of(products)
    understanding = FallbackInterpreter(vocabulary=lambda: vocabulary, clock=lambda: 0.0)
    return Searcher(understanding, without_embedder(LAYOUT, metrics), lambda: vocabulary)


def ids(made: RecommendationResult) -> list[str]:
    """The products of a row."""
    return [item.product_id for item in made.row]


def sources(made: RecommendationResult) -> dict[str, str]:
    """Where each comes from."""
    return {item.product_id: item.source for item in made.row}
