"""A rebuild beside an embedder that goes on writing, and one that is killed anywhere."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from schemas.vectors import Layout
from services.ops.index.query import Change
from services.ops.index.rebuild import FreshCollection, NotWhole, Point, QdrantAlias, Rebuild
from services.progress import Silent
from services.qdrant import ProductCollection, create

IDS = ("p", "q", "r")
NAME = "products"


class Killed(Exception):
    """The rebuild ends here."""


class World:
    """A topic, an embedder that writes it first and the index then, and collections behind one name.

    `steps`: what the embedder does, a few between two requests of the rebuild. It publishes a product, takes
    one back, or writes the oldest of what it has published and not written yet.
    """

    def __init__(self, steps: Sequence[tuple[str, str]], pace: int) -> None:
        self.topic: list[Change] = []
        self.collections: dict[str, dict[str, bytes]] = {f"{NAME}.first": {}}
        self.serving: str | None = f"{NAME}.first"
        self.requests_left: int | None = None
        self._queue: list[Change] = []
        self._steps = list(steps)
        self._pace = pace
        self._version = 0

    def request(self) -> None:
        """One request of the rebuild, or one look at the topic."""
        for _ in range(self._pace):
            if self._steps:
                self._step(*self._steps.pop(0))
        if self.requests_left is not None:
            self.requests_left -= 1
            if self.requests_left < 0:
                raise Killed

    def _step(self, what: str, product_id: str) -> None:
        if what == "write":
            if self._queue:
                self._write(self._queue.pop(0))
            return
        self._version += 1
        value = f"{product_id} {self._version}".encode() if what == "publish" else None
        self.topic.append((product_id, value))
        self._queue.append((product_id, value))

    def _write(self, change: Change) -> None:
        assert self.serving is not None
        apply(self.collections[self.serving], [change])

    def at_last(self) -> dict[str, bytes]:
        """The index, once the embedder has done all that it was to do."""
        while self._steps:
            self._step(*self._steps.pop(0))
        while self._queue:
            self._write(self._queue.pop(0))
        assert self.serving is not None
        return self.collections[self.serving]

    def newest(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        apply(found, self.topic)
        return found


def apply(collection: dict[str, bytes], changes: Sequence[Change]) -> None:
    for product_id, value in changes:
        if value is None:
            collection.pop(product_id, None)
        else:
            collection[product_id] = value


class Reading:
    """The topic, read on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._at = 0

    def waiting(self) -> int:
        self._world.request()
        return len(self._world.topic) - self._at

    def to_the_end(self) -> Iterator[list[Change]]:
        end = len(self._world.topic)
        for start in range(self._at, end, 2):
            self._world.request()
            yield list(dict(self._world.topic[start : min(start + 2, end)]).items())
        self._at = end


class NewCollection:
    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name

    def upsert(self, products: Sequence[Point]) -> None:
        self._world.request()
        values = cast("Sequence[bytes]", products)
        apply(self._world.collections[self.name], [(each.split()[0].decode(), each) for each in values])

    def remove(self, product_ids: Sequence[str]) -> None:
        self._world.request()
        apply(self._world.collections[self.name], [(each, None) for each in product_ids])

    def count(self) -> int:
        return len(self._world.collections[self.name])


class Name:
    """The alias."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def serving(self) -> str | None:
        return self._world.serving

    def beside(self, stamp: str) -> FreshCollection:
        self._world.request()
        self._world.collections[f"{NAME}.{stamp}"] = {}
        return NewCollection(self._world, f"{NAME}.{stamp}")

    def switch(self, to: str) -> None:
        self._world.request()
        self._world.serving = to
        self._world.request()

    def drop(self, name: str) -> None:
        del self._world.collections[name]

    def list_leftovers(self) -> list[str]:
        return [name for name in self._world.collections if name != self._world.serving]


def rebuild(world: World, stamp: str = "new") -> None:
    point = cast("Callable[[bytes], Point]", lambda value: value)
    Rebuild(Name(world), Reading(world), point, Silent()).run(stamp)


steps = st.lists(
    st.tuples(st.sampled_from(("publish", "publish", "take back", "write", "write")), st.sampled_from(IDS)),
    max_size=40,
)


NOTHING = ("write", "p")  # while nothing is published that is not written

# Published just before the switch; published again and written while the rebuild is about to write the first.
OVERTAKEN = [
    NOTHING,
    NOTHING,
    NOTHING,
    ("publish", "p"),
    ("write", "p"),
    NOTHING,
    ("publish", "p"),
    ("write", "p"),
]


@given(steps, steps, st.integers(0, 3))
@example([], OVERTAKEN, 1)
def test_whatever_the_embedder_does_meanwhile_each_product_is_as_its_newest_message_says(
    before: list[tuple[str, str]], meanwhile: list[tuple[str, str]], pace: int
) -> None:
    world = World([*before, *meanwhile], pace)
    for _ in before:
        world._step(*world._steps.pop(0))
    rebuild(world)
    assert world.at_last() == world.newest()
    assert set(world.collections) == {f"{NAME}.new"}


@given(steps, st.integers(1, 3), st.integers(0, 60))
def test_killed_anywhere_the_index_serves_and_the_next_run_is_whole(
    meanwhile: list[tuple[str, str]], pace: int, requests: int
) -> None:
    world = World(meanwhile, pace)
    world.requests_left = requests
    try:
        rebuild(world)
    except Killed:
        if world.serving == f"{NAME}.first":
            assert set(world.collections) == {f"{NAME}.first"}, "a collection is left that nobody asks"
    world.requests_left = None
    assert world.serving in world.collections
    rebuild(world, "again")
    assert world.at_last() == world.newest()
    assert set(world.collections) == {f"{NAME}.again"}


# The names, on qdrant-client's own memory mode.

LAYOUT = Layout.of(6, 4)
FIRST_STAMP, SECOND_STAMP = "20261101T000000Z-aaaa", "20261102T000000Z-bbbb"


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


def names(client: QdrantClient) -> set[str]:
    return {each.name for each in client.get_collections().collections}


pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")


def test_a_name_leads_to_the_new_collection_between_two_requests(client: QdrantClient) -> None:
    ProductCollection(client, NAME, LAYOUT)
    shelf = QdrantAlias(client, NAME, LAYOUT)
    assert shelf.serving == "products.first"
    made = shelf.beside(FIRST_STAMP)
    assert shelf.serving == "products.first"
    shelf.switch(made.name)
    assert shelf.serving == made.name
    assert shelf.list_leftovers() == ["products.first"]
    assert ProductCollection(client, NAME, LAYOUT).count() == 0
    assert names(client) == {"products.first", made.name}


def test_a_collection_of_a_former_version_gives_its_name_to_the_alias(client: QdrantClient) -> None:
    create(client, NAME, LAYOUT)
    shelf = QdrantAlias(client, NAME, LAYOUT)
    assert shelf.serving == NAME
    made = shelf.beside(FIRST_STAMP)
    shelf.switch(made.name)
    assert shelf.serving == made.name
    assert names(client) == {made.name}


def test_what_killed_rebuilds_left_is_known_and_what_others_have_is_not(client: QdrantClient) -> None:
    shelf = QdrantAlias(client, NAME, LAYOUT)
    shelf.switch(shelf.beside(SECOND_STAMP).name)
    shelf.beside(FIRST_STAMP)
    for other in ("products.archive", "products2.first", "shadow.products.first"):
        ProductCollection(client, other, LAYOUT)
    assert shelf.list_leftovers() == [f"products.{FIRST_STAMP}"]


def test_a_collection_that_lost_products_takes_nobodys_place() -> None:
    world = World([("publish", "p"), ("publish", "q")], 0)
    for _ in range(2):
        world._step(*world._steps.pop(0))

    class Losing(Name):
        def beside(self, stamp: str) -> FreshCollection:
            return Leaking(self._world, super().beside(stamp).name)

    class Leaking(NewCollection):
        def upsert(self, products: Sequence[Point]) -> None:
            """None arrives."""

    point = cast("Callable[[bytes], Point]", lambda value: value)
    with pytest.raises(NotWhole, match="0 products, the topic 2: nothing was changed"):
        Rebuild(Losing(world), Reading(world), point, Silent()).run("new")
    assert world.serving == f"{NAME}.first"
    assert set(world.collections) == {f"{NAME}.first"}


def test_what_served_before_stays_for_questions_under_way() -> None:
    world, slept = World([("publish", "p")], 0), list[float]()
    world._step(*world._steps.pop(0))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert world.serving == f"{NAME}.new"
        assert f"{NAME}.first" in world.collections

    point = cast("Callable[[bytes], Point]", lambda value: value)
    Rebuild(Name(world), Reading(world), point, Silent(), keep_s=7.0, sleep=sleep).run("new")
    assert slept == [7.0]
    assert set(world.collections) == {f"{NAME}.new"}
