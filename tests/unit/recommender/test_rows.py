"""A visitor's row with a model: what may be in it, where it comes from, what it says; and without one."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Event, EventType
from schemas.products import Product
from schemas.sessions import Session
from schemas.vectors import Layout
from services.model.behaviour import Behaviour
from services.model.recall import CONTENT
from services.model.session import fold
from services.model.tuning import Tuning
from services.recommender.catalogue import Catalogue
from services.recommender.edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.ranking import Rules
from services.recommender.rows import Made, RowMaker
from services.recommender.vector_index import AVAILABLE, Where
from services.replica import VectorReplica
from tests.unit.model.learned import VERSION, behaviour, leaning

LAYOUT = Layout.of(text_width=8, image_width=4)
SHELVES = ("Shoes", "Lamps", "Tents")
COUNT = 30
SHOWN = Where(availability=AVAILABLE)
# Who looked at p0 went on to p1, p2 and p4, each of another shelf, again and again; and p20 with p21.
PAST = [["p0", "p1", "p2", "p4"]] * 5 + [["p20", "p21"]]


class Shop:
    """Thirty products; their shelves take turns, and those of one shelf are like each other."""

    def __init__(self, folder: Path) -> None:
        self.catalogue, self.replica = Catalogue(), VectorReplica(LAYOUT)
        self.index = EdgeIndex(LAYOUT, folder)
        self.model: Behaviour | None = None
        self.swaps: Iterator[Behaviour] | None = None  # a generation each time somebody takes the reference
        self.rows = RowMaker(
            self.catalogue,
            self.index,
            self.replica,
            layout=LAYOUT,
            tuning=Tuning(),
            rules=Rules(0, diversity=0.2, brand_max=99),
            model=self.serving,
            metrics=Metrics(),
        )
        for number in range(COUNT):
            self.put(number)
            self.describe(number)

    def serving(self) -> Behaviour | None:
        return next(self.swaps) if self.swaps else self.model

    def product(self, number: int, **fields: object) -> Product:
        made = Product(
            product_id=f"p{number}",
            name=f"Product {number}",
            price=1.0 + number,
            currency="EUR",
            availability="in_stock",
            updated_at=0,
            category=(SHELVES[number % 3],),
            popularity=1 / (number + 1),
        )
        return msgspec.structs.replace(made, **fields)

    def put(self, number: int, **fields: object) -> None:
        self.catalogue.put(self.product(number, **fields))

    def describe(self, number: int) -> None:
        shelf = np.random.default_rng(1000 + number % 3).normal(size=LAYOUT.width)
        own = np.random.default_rng(number).normal(size=LAYOUT.width)
        content = LAYOUT.normalised(shelf + 0.5 * own).astype(np.float32)
        self.replica.put(self.product(number), content.astype(np.float16))
        self.index.upsert([(self.product(number), content)])

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

    async def row(self, *products: str, k: int = 6, where: Where = SHOWN) -> Made:
        return await self.rows.for_you(self.session(*products), k, where)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "index")
    yield shop
    shop.index.close()


@pytest.fixture
def learned(shop: Shop) -> Shop:
    """The shop with a model of what its visitors did."""
    shop.model = behaviour(PAST)
    return shop


def ids(made: Made) -> list[str]:
    return [item.product_id for item in made.row]


def sources(made: Made) -> dict[str, str]:
    return {item.product_id: item.source for item in made.row}


async def test_without_a_model_rows_are_of_content_and_name_none(shop: Shop) -> None:
    made = await shop.row("p0", "p1")
    assert made.model is None
    assert set(sources(made).values()) == {"content"}
    assert {item.category[0] for item in made.row} == {"Shoes", "Lamps"}


async def test_what_others_looked_at_is_in_the_row_and_says_so(learned: Shop) -> None:
    made = await learned.row("p0")
    assert made.model == VERSION
    reasons = {item.product_id: item.why for item in made.row if item.source == "behaviour"}
    assert {"p1", "p2", "p4"} <= reasons.keys()
    assert reasons["p1"] == "others who looked at Product 0 also looked at this"


async def test_what_only_content_found_says_so(learned: Shop) -> None:
    made = await learned.row("p0", k=20)
    [like] = [item for item in made.row if item.product_id == "p3"]  # in no past session
    assert (like.source, like.why) == ("content", "because you looked at Product 0")


async def test_the_newest_product_that_past_sessions_hold_is_named(learned: Shop) -> None:
    made = await learned.row("p1", "p0", "p3")
    reasons = {item.why for item in made.row if item.source == "behaviour"}
    assert "others who looked at Product 0 also looked at this" in reasons


async def test_what_was_seen_never_comes_back(learned: Shop) -> None:
    for seen in (("p0",), ("p0", "p1"), ("p0", "p1", "p2", "p4"), ("p20", "p21", "p20")):
        assert not set(seen) & set(ids(await learned.row(*seen, k=COUNT)))


async def test_what_sells_out_is_gone_at_once_and_comes_back_with_stock(learned: Shop) -> None:
    assert "p1" in ids(await learned.row("p0"))
    learned.put(1, availability="out_of_stock", updated_at=1)
    assert "p1" not in ids(await learned.row("p0", k=COUNT))
    learned.put(1, updated_at=2)
    assert "p1" in ids(await learned.row("p0"))
    learned.catalogue.remove("p1")
    assert "p1" not in ids(await learned.row("p0", k=COUNT))


async def test_what_has_no_vector_is_not_shown_because_of_others(learned: Shop) -> None:
    learned.replica.remove("p1")
    assert sources(await learned.row("p0", k=COUNT))["p1"] == "popular"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=6),
    st.sets(st.integers(0, COUNT - 1)),
    st.builds(
        Where,
        availability=st.just(AVAILABLE),
        category=st.sampled_from([None, *SHELVES]),
        price_max=st.sampled_from([None, 10.0, 20.0]),
        exclude=st.frozensets(st.integers(0, COUNT - 1).map("p{}".format), max_size=5),
    ),
)
async def test_filters_never_leak(
    learned: Shop,
    seen: list[int],
    sold_out: set[int],
    where: Where,
) -> None:
    for number in range(COUNT):
        known = learned.catalogue.get(f"p{number}")
        assert known is not None
        learned.put(
            number,
            availability="out_of_stock" if number in sold_out else "in_stock",
            updated_at=known.updated_at + 1,
        )
    made = await learned.row(*[f"p{each}" for each in seen], k=12, where=where)
    gone = {f"p{each}" for each in (*seen, *sold_out)} | where.exclude
    assert not gone & set(ids(made))
    assert len(ids(made)) == len(set(ids(made)))
    assert all(where.category in (None, item.category[0]) for item in made.row)
    assert all(where.price_max is None or item.price <= where.price_max for item in made.row)


async def test_interests_take_turns_with_what_lies_outside_of_them(learned: Shop) -> None:
    # Two interests, and a model to whose mind all that others looked at is tents.
    learned.model = behaviour([["p0", "p1", "p2", "p5", "p8"]] * 3)
    made = await learned.row("p0", "p1", k=9)
    shelves = [item.category[0] for item in made.row]
    assert set(shelves) == set(SHELVES)
    assert "Tents" in shelves[:4]


async def test_a_session_that_the_model_knows_nothing_of_has_the_row_of_content(learned: Shop) -> None:
    made = await learned.row("p9", "p10")
    assert made.model == VERSION
    learned.model = None
    assert made.row == (await learned.row("p9", "p10")).row


async def test_a_session_without_vectors_has_the_row_of_behaviour(learned: Shop) -> None:
    learned.replica.remove("p0")
    session = learned.session("p0")
    assert not session.vector
    made = await learned.rows.for_you(session, 5, SHOWN)
    assert set(sources(made).values()) == {"behaviour"}
    reasons = {item.product_id: item.why for item in made.row}
    assert reasons.keys() == {"p1", "p2", "p4", "p20", "p21"}
    assert reasons["p4"] == "others who looked at Product 0 also looked at this"
    assert (
        reasons["p20"] == "others who looked at similar things also looked at this"
    )  # nobody had both: item2vec


async def test_nobody_s_session_shows_what_is_popular(learned: Shop) -> None:
    made = await learned.rows.for_you(None, 3, SHOWN)
    assert (ids(made), made.model) == (["p0", "p1", "p2"], VERSION)
    assert set(sources(made).values()) == {"popular"}


async def test_the_re_ranker_hears_how_like_the_session_a_product_is(learned: Shop) -> None:
    learned.model = behaviour(PAST, trees=leaning(CONTENT, threshold=2.0))
    made = await learned.row("p0", k=12)
    likely = [item.score for item in made.row if item.category == ("Shoes",)]
    others = [item.score for item in made.row if item.category != ("Shoes",)]
    assert min(likely) > 5 * max(others)


async def test_a_row_is_of_one_generation_whatever_is_swapped_meanwhile(shop: Shop) -> None:
    one, other = behaviour(PAST, "20241124T041507Z-aaaa"), behaviour([["p0", "p7"]], "20241124T041507Z-bbbb")
    rows = {}
    for model in (one, other):
        shop.model = model
        rows[model.version] = (await shop.row("p0")).row
    shop.swaps = cycle([one, other])
    for _ in range(20):
        made = await shop.row("p0")
        assert made.model is not None
        assert made.row == rows[made.model]
