"""No row shows what a filter forbids: 20,000 products that change, with an index that lags behind them."""

import asyncio
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from schemas.live import COMPLEMENTS, SlotKind
from schemas.points import category_prefixes
from schemas.products import Availability, Product
from schemas.rules import Rule
from schemas.sessions import KIND_OF, Session, SessionEvent
from schemas.vectors import Layout
from services.model.content import PROFILES
from services.model.session import Tuning, compute_session
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.merchandising import ActiveRules, combine_rules
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RecommendationRequest
from services.recommender.search.query import Inferred
from services.recommender.search.query_vectors import WordVector
from services.recommender.search.search import Search
from services.vector_replica import VectorReplica
from tests.support.models import behaviour

Question = dict[str, Any]  # what every kind of row may be asked

LAYOUT: Final = Layout.of(text_width=8, image_width=4)
TUNING: Final = Tuning()
COUNT: Final = 20_000
ALIKE: Final = 200
VISITED: Final = 300  # products that past visits hold
ABOUT: Final[tuple[SlotKind, ...]] = ("similar", "also_liked", "complement_topic", "complement_type")
PLAIN: Final = {"where": Where(availability=AVAILABLE), "visited": []}
AVAILABILITIES: Final[tuple[Availability, ...]] = ("in_stock", "out_of_stock", "preorder")
BRANDS: Final = tuple(f"Brand {number}" for number in range(50))
TYPES: Final = tuple(f"type {number}" for number in range(20))
TAGS: Final = ("red", "wool", "new", "silk", "small", "sale")
MARKETS: Final = ("CH", "DE", "US")
PATHS: Final = tuple(
    (top, middle, f"{middle} {leaf}") for top in "ABCD" for middle in ("x", "y", "z") for leaf in range(3)
)


@lru_cache(COUNT)
def product(number: int) -> Product:
    """Its fields follow from its number, each in another rhythm."""
    return Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=float(1 + number * 7919 % 500),
        currency="EUR",
        availability=AVAILABILITIES[number % 7 % 3],
        updated_at=1,
        category=PATHS[number % 37][: 1 + number % 3] if number % 37 < len(PATHS) else (),
        brand=BRANDS[number * 31 % 53] if number * 31 % 53 < len(BRANDS) else None,
        type=TYPES[number * 17 % 23] if number * 17 % 23 < len(TYPES) else None,
        tags=tuple(tag for place, tag in enumerate(TAGS) if number >> place & 1),
        markets=tuple(market for place, market in enumerate(MARKETS) if number // 64 >> place & 1),
        popularity=number * 6151 % COUNT / COUNT,
    )


class World:
    """The recommender's state with all products, and what is known outside of it about each."""

    def __init__(self, folder: Path) -> None:
        raw = np.random.default_rng(7).normal(size=(COUNT, LAYOUT.width))
        self.content = LAYOUT.normalise(raw).astype(np.float32)
        self.catalogue = Catalogue()
        self.replica = VectorReplica(LAYOUT, self.catalogue.numbers)
        self.index = CachedIndex(EdgeIndex(LAYOUT, folder))
        self.known: dict[str, Product] = {}  # as the topic `products` tells
        self.described: dict[str, Product] = {}  # as the index has it
        self.touched: set[int] = set()  # whatever told of it
        self.moved: set[int] = set()  # of these, those that the index has heard of, which is dear to undo
        self.blocks: dict[str, Rule] = {}
        past = np.random.default_rng(8).integers(0, VISITED, size=(400, 5)).tolist()
        model = behaviour([[f"p{number}" for number in dict.fromkeys(visit)] for visit in past])
        self.rows = RecommendationPipeline(
            self.catalogue,
            self.index,
            self.replica,
            layout=LAYOUT,
            tuning=TUNING,
            rules=RowLimits(0, diversity=0.2, brand_max=4),
            model=lambda _line: model,
            metrics=Metrics(),
            in_force=self._in_force,
        )
        for number in range(COUNT):
            self.known[f"p{number}"] = self.described[f"p{number}"] = product(number)
            self.catalogue.put(product(number))
            self.replica.put(product(number), self.content[number].astype(np.float16))
        for start in range(0, COUNT, 1000):
            numbers = range(start, start + 1000)
            self.index.upsert([(product(number), self.content[number]) for number in numbers])
        self.index.optimise()

    def _in_force(self, _slot: str, _kind: str) -> ActiveRules:
        return combine_rules([self.blocks[name] for name in sorted(self.blocks)])

    def tell(self, number: int, newest: Product | None) -> None:
        """[products]"""
        self.touched.add(number)
        if newest is None:
            self.known.pop(f"p{number}", None)
            self.catalogue.remove(f"p{number}")
        else:
            self.known[f"p{number}"] = newest
            self.catalogue.put(newest)

    def describe(self, number: int, newest: Product | None) -> None:
        """[product-vectors]"""
        self.touched.add(number)
        self.moved.add(number)
        if newest is None:
            self.described.pop(f"p{number}", None)
            self.replica.remove(f"p{number}")
            self.index.remove([f"p{number}"])
        else:
            self.described[f"p{number}"] = newest
            self.replica.put(newest, self.content[number].astype(np.float16))
            self.index.upsert([(newest, self.content[number])])

    def undo(self) -> None:
        """All is as it was made."""
        for number in self.touched:
            self.tell(number, None)  # a newer description would win over the first
            self.tell(number, product(number))
        back = [(product(number), self.content[number]) for number in self.moved]
        for each, content in back:
            self.described[each.product_id] = each
            self.replica.put(each, content.astype(np.float16))
        self.index.upsert(back)
        self.touched.clear()
        self.moved.clear()
        self.blocks.clear()


def fits(each: Product, where: Where) -> bool:
    """The filters once more, in the plainest words."""
    prefixes = category_prefixes(each.category)
    return (
        (not where.availability or each.availability in where.availability)
        and (where.price_min is None or where.price_min <= each.price)
        and (where.price_max is None or each.price <= where.price_max)
        and (not where.category or any(prefix in where.category for prefix in prefixes))
        and (not where.brand or each.brand in where.brand)
        and (not where.type or each.type in where.type)
        and all(tag in each.tags for tag in where.tag)
        and (not where.market or any(market in where.market for market in each.markets))
        and not any(prefix in where.without_category for prefix in prefixes)
        and each.brand not in where.without_brand
        and each.type not in where.without_type
        and not any(tag in where.without_tag for tag in each.tags)
        and each.product_id not in where.exclude
    )


def is_blocked(each: Product, block: Rule) -> bool:
    return (
        each.product_id in block.products
        or each.brand in block.brands
        or any(prefix in block.categories for prefix in category_prefixes(each.category))
        or any(tag in block.tags for tag in each.tags)
    )


def some(*values: str, most: int = 2) -> st.SearchStrategy[frozenset[str]]:
    return st.just(frozenset[str]()) | st.frozensets(st.sampled_from(values), max_size=most)


# Few products change, again and again, and rows are about them: so they meet.
numbers = st.integers(0, 5) | st.integers(0, 40) | st.integers(0, VISITED - 1) | st.integers(0, COUNT - 1)
ids = numbers.map("p{}".format)
prefixes = tuple(dict.fromkeys(prefix for path in PATHS for prefix in category_prefixes(path)))
wheres = st.just(Where(availability=AVAILABLE)) | st.builds(
    Where,
    availability=st.sampled_from([frozenset[Availability](), AVAILABLE]),
    price_min=st.none() | st.integers(0, 490).map(float),
    price_max=st.none() | st.integers(10, 500).map(float),
    category=some(*prefixes),
    brand=some(*BRANDS, most=3),
    type=some(*TYPES),
    tag=some(*TAGS),
    market=some(*MARKETS),
    without_category=some(*prefixes),
    without_brand=some(*BRANDS),
    without_type=some(*TYPES),
    without_tag=some(*TAGS, most=1),
    exclude=st.frozensets(ids, max_size=20),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "availability": st.sampled_from(AVAILABILITIES),
        "price": st.integers(1, 500).map(float),
        "category": st.sampled_from(PATHS),
        "brand": st.none() | st.sampled_from(BRANDS),
        "type": st.none() | st.sampled_from(TYPES),
        "tags": st.lists(st.sampled_from(TAGS), unique=True, max_size=3).map(tuple),
        "markets": st.lists(st.sampled_from(MARKETS), unique=True).map(tuple),
    },
)
orders = st.sampled_from(["products", "products, vectors", "vectors, products", "vectors"])
blocks = st.builds(
    Rule,
    rule_id=st.sampled_from(["a", "b"]),
    action=st.just("block"),
    products=st.lists(ids, max_size=5).map(tuple),
    brands=st.lists(st.sampled_from(BRANDS), max_size=2).map(tuple),
    categories=st.lists(st.sampled_from(prefixes), max_size=1).map(tuple),
    tags=st.lists(st.sampled_from(TAGS), max_size=1).map(tuple),
)
questions = st.fixed_dictionaries(
    {
        "k": st.integers(1, 30) | st.just(100),
        "where": wheres,
        "visited": st.lists(st.tuples(numbers, st.sampled_from(["view_item", "purchase"])), max_size=6),
        "without_seen": st.booleans(),
        "without_bought": st.booleans(),
        "weights": st.sampled_from([{}, {"brand": 2.0, "behaviour": 0.0}, {"category": -1.0}]),
        "brand_max": st.none() | st.integers(1, 3),
    }
)
inferences = st.just(Inferred(description="words")) | st.builds(
    Inferred,
    description=st.sampled_from(["", "words"]),
    price_near=st.none() | st.integers(1, 500).map(float),
    weights=st.dictionaries(st.sampled_from(["price", "popularity", "text"]), st.sampled_from([-1.0, 1.0])),
    tags=st.lists(st.sampled_from(TAGS), unique=True, max_size=2).map(tuple),
    brands=st.lists(st.sampled_from(BRANDS), max_size=1).map(tuple),
    not_tags=st.lists(st.sampled_from(TAGS), max_size=1).map(tuple),
    price_max=st.none() | st.integers(50, 500).map(float),
)


class ChangingShop(RuleBasedStateMachine):
    """Products change and rules come and go, while rows of every kind are asked for."""

    world: World
    loop: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self._time = 1
        self._asked: RecommendationRequest | None = None
        self._shown: list[str] = []

    def teardown(self) -> None:
        self.world.undo()

    def _apply(self, number: int, newest: Product | None, order: str) -> None:
        for topic in order.split(", "):
            if topic == "products":
                self.world.tell(number, newest)
            else:
                self.world.describe(number, newest)

    @rule(number=numbers, fields=changes, order=orders)
    def change_or_add(self, number: int, fields: dict[str, Any], order: str) -> None:
        self._time += 1
        before = self.world.known.get(f"p{number}", product(number))
        newest = msgspec.structs.replace(before, **fields, updated_at=self._time)
        self._apply(number, newest, order)

    @rule(number=numbers, order=orders)
    def remove(self, number: int, order: str) -> None:
        self._apply(number, None, order)

    @precondition(lambda self: self._shown)
    @rule(place=st.integers(0, 29), fields=st.none() | changes, order=orders)
    def change_what_was_shown(self, place: int, fields: dict[str, Any] | None, order: str) -> None:
        """What is remembered of a product must not outlast the change."""
        number = int(self._shown[place % len(self._shown)][1:])
        if fields is None:
            self.remove(number, order)
        else:
            self.change_or_add(number, fields, order)
        self.ask_again()

    @rule(like=numbers, k=st.integers(1, 30))
    def sell_out_what_a_search_finds_before_the_index_hears_of_it(self, like: int, k: int) -> None:
        """What the index finds first may not be shown any more."""
        self._time += 1
        query = LAYOUT.apply_weights(self.world.content[like], PROFILES["search"])
        for number in np.argsort(-(self.world.content @ query))[:ALIKE].tolist():
            if (before := self.world.known.get(f"p{number}")) is not None:
                gone = msgspec.structs.replace(before, availability="out_of_stock", updated_at=self._time)
                self.world.tell(number, gone)
        self.search(PLAIN | {"k": k}, Inferred(description="words"), like)

    @rule()
    def let_the_index_catch_up(self) -> None:
        for number in sorted(self.world.touched):
            self.world.describe(number, self.world.known.get(f"p{number}"))

    @rule(block=blocks)
    def block(self, block: Rule) -> None:
        self.world.blocks[block.rule_id] = block

    @rule(rule_id=st.sampled_from(["a", "b"]))
    def unblock(self, rule_id: str) -> None:
        self.world.blocks.pop(rule_id, None)

    @rule(question=questions)
    def ask_for_a_visitor(self, question: Question) -> None:
        self._ask("for_you", question)

    @rule(question=questions)
    def ask_for_what_is_popular(self, question: Question) -> None:
        self._ask("popular", question)

    @rule(question=questions, kind=st.sampled_from(ABOUT), about=numbers)
    def ask_about_a_product(self, question: Question, kind: SlotKind, about: int) -> None:
        self._ask(kind, question, product_id=f"p{about}")

    @rule(question=questions, told=inferences, like=numbers)
    def search(self, question: Question, told: Inferred, like: int) -> None:
        vector, slices = self.world.content[like], LAYOUT.slices
        search = Search(told, words=WordVector(vector[slices["text"]], vector[slices["image"]]))
        where = search.narrow(question["where"])
        self._ask("search", question | {"where": where}, search=search)

    def _ask(self, kind: SlotKind, question: Question, **fields: Any) -> None:
        session = self._session(question["visited"])
        given = {name: value for name, value in question.items() if name != "visited"}
        self._asked = RecommendationRequest(kind, session=session, **given, **fields)
        self.ask_again()

    @precondition(lambda self: self._asked is not None)
    @rule()
    def ask_again(self) -> None:
        """What was remembered of the first answer may hold no more."""
        assert self._asked is not None
        made = self.loop.run(self.world.rows.run(self._asked))
        self._shown = [item.product_id for item in made.row]
        self._check(self._asked, self._shown, made.notice)

    def _session(self, visited: list[tuple[int, str]]) -> Session | None:
        if not visited:
            return None
        events = tuple(
            SessionEvent(place, bytes([place] * 16), f"p{number}", KIND_OF[type_])  # type: ignore[index]
            for place, (number, type_) in enumerate(visited)
        )
        return compute_session("v", events, self.world.replica, LAYOUT, TUNING)

    def _check(self, asked: RecommendationRequest, found: list[str], notice: str | None) -> None:
        hidden = {asked.product_id}
        for event in asked.session.events if asked.session else ():
            if asked.without_seen or (asked.without_bought and event.type == "purchase"):
                hidden.add(event.product_id)
        blocks = self.world.blocks.values()

        def allows(each: Product | None) -> bool:
            if each is None or each.product_id in hidden or not fits(each, asked.where):
                return False
            return not any(is_blocked(each, block) for block in blocks)

        known, described = self.world.known, self.world.described
        leaks = {
            product_id: known.get(product_id) for product_id in found if not allows(known.get(product_id))
        }
        assert not leaks
        assert len(found) == len(set(found)) <= asked.k
        assert (notice is None) == (len(found) == asked.k)
        if len(found) == asked.k or asked.kind in COMPLEMENTS:
            return  # of what goes with nothing there are fewer: other products would be noise
        allowed = [product_id for product_id, each in known.items() if allows(each)]
        if asked.kind == "search":
            assert len(found) >= sum(allows(described.get(product_id)) for product_id in allowed)
        else:  # popular products fill up
            assert set(found) == set(allowed)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world") / "index")
    yield made
    made.index.close()


def test_no_row_shows_what_a_filter_forbids_while_products_change(world: World) -> None:
    with asyncio.Runner() as loop:
        ChangingShop.world, ChangingShop.loop = world, loop
        run_state_machine_as_test(
            ChangingShop,
            settings=settings(
                max_examples=30,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.reuse, Phase.generate],  # shrinking would take minutes
            ),
        )
