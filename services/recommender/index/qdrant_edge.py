"""VectorIndex on qdrant-edge: the real Qdrant engine in process."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    HasIdCondition,
    HnswIndexConfig,
    MatchAny,
    MatchValue,
    PayloadSchemaType,
    Point,
    QuantizationSearchParams,
    Query,
    QueryBatchRequest,
    QueryRequest,
    RangeFloat,
    ScalarQuantizationConfig,
    ScalarType,
    SearchParams,
    UpdateOperation,
)

from schemas.points import INDEXED_FIELDS, VECTOR_NAME, payload
from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.product_numbers import UNKNOWN, Numbering
from services.recommender.index.port import Hit, Values, Where

# Below it exact search is as good: 0.2 ms over 2,400 products, 2.4 ms over 20,000 (measured).
OPTIMISE_FROM: Final = 10_000
# The graph is built and walked over one byte a component, a third of the time; twice as many as are asked for
# are then compared as they are. Over 60,000 products that found 99.9 % of the nearest 100 (measured), and
# more edges or candidates while building nothing more.
EDGES: Final = 12
OVERGROWN_FROM: Final = 5_000  # products beside the graph, which take 1.5 ms more a question (measured)
OVERGROWN_SHARE: Final = 0.2  # each time rows wait for half a second or more
CHANGES_AT_A_TIME: Final = 64
BUILD_CANDIDATES: Final = 64
SCAN_BELOW_KB: Final = 10_000  # what a filter leaves is compared one by one where it is less
SEARCH: Final = SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=2.0))
# Files of another one are not read.
ENGINE: Final = f"qdrant-edge {version('qdrant-edge-py')}, {EDGES} edges, {BUILD_CANDIDATES} candidates"
SCHEMAS: Final = {"keyword": PayloadSchemaType.Keyword, "float": PayloadSchemaType.Float}

log = structlog.get_logger()


class EdgeIndex:
    """One shard in a folder of its own, which it empties first: a process that was killed leaves one full.

    It may move to another folder beside it, which has its name and a number. `numbers` is the numbering it
    shares with others, its own where there are none.
    """

    remote = False

    def __init__(self, layout: Layout, folder: Path, numbers: Numbering | None = None) -> None:
        self._layout = layout
        # Points are numbered: a name looked up by number is cheaper than one read from a payload.
        self._numbers = Numbering() if numbers is None else numbers
        self.folder = self._first_folder = folder
        self._moves = 0
        self._beside: set[int] = set()  # numbers of what was written since the graph was built
        self._since_copy: set[int] | None = None  # the same since there is a copy to move to
        for left in folder.parent.glob(f"{folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        self._shard = self._create()

    def _create(self) -> EdgeShard:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        vectors = EdgeVectorParams(
            size=self._layout.width,
            distance=Distance.Dot,
            quantization_config=ScalarQuantizationConfig(type=ScalarType.Int8, always_ram=True),
            hnsw_config=HnswIndexConfig(
                m=EDGES, ef_construct=BUILD_CANDIDATES, full_scan_threshold=SCAN_BELOW_KB
            ),
        )
        # The topic is the truth: a write-ahead log would only be thrown away.
        shard = EdgeShard.create(
            str(self.folder),
            EdgeConfig(vectors={VECTOR_NAME: vectors}, max_search_threads=1, wal_enabled=False),
        )
        for field, kind in INDEXED_FIELDS.items():
            shard.update(UpdateOperation.create_field_index(field, SCHEMAS[kind]))
        return shard

    def flush(self) -> None:
        """Afterwards, until the next change, the files in `folder` are the whole index."""
        self._shard.flush()

    def adopt(self, folder: Path, count: int) -> bool:
        """Takes files that `flush` has left, of so many products, numbered alike; they are moved.

        False, and empty, where the engine does not read them, or finds another number.
        """
        self._shard.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        folder.rename(self.folder)
        try:
            self._shard = EdgeShard.load(str(self.folder))
            if (found := self.count()) == count:
                return True
            log.warning("the kept index is not whole", products=found, expected=count)
            self._shard.close()
        except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception
            log.warning("the kept index cannot be loaded", error=str(error))
        self._shard = self._create()
        return False

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products."""
        if not products:
            return
        points = [
            Point(
                self._numbers.number(product.product_id),
                {VECTOR_NAME: vector.tolist()},
                self._payload(product),
            )
            for product, vector in products
        ]
        self._shard.update(UpdateOperation.upsert_points(points))
        self._note_written([int(point.id) for point in points])

    def _note_written(self, numbers: Sequence[int]) -> None:
        self._beside.update(numbers)
        if self._since_copy is not None:
            self._since_copy.update(numbers)

    def _payload(self, product: Product) -> dict[str, object]:
        """What filters ask for, and no more: nobody reads it, and a field costs as much as 400 components."""
        known = payload(product, self._layout.id)
        return {field: known[field] for field in INDEXED_FIELDS if known[field] not in (None, [])}

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products."""
        if product_ids:
            numbers = self._numbers_of(product_ids)
            self._shard.update(UpdateOperation.delete_points([*numbers]))
            self._note_written(numbers)

    def nearest(self, query: Vector, k: int, where: Where) -> list[Hit]:
        """The k best products."""
        return self.nearest_many([query], k, where)[0]

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """One answer a query."""
        condition = _filter(where, self._numbers_of(where.exclude))
        requests = [
            QueryRequest(
                limit=k,
                query=Query.Nearest(query.tolist(), using=VECTOR_NAME),
                filter=condition,
                params=SEARCH,
                with_payload=False,
            )
            for query in queries
        ]
        answers = self._shard.query_batch(QueryBatchRequest(requests))
        return [[Hit(self._numbers.id(int(point.id)), point.score) for point in points] for points in answers]

    def _numbers_of(self, product_ids: Iterable[str]) -> list[int]:
        """The numbers of those that are or were here."""
        numbers = map(self._numbers.find, product_ids)
        return [number for number in numbers if number != UNKNOWN]

    def count(self) -> int:
        """Products in the index."""
        return self._shard.count(CountRequest(exact=True))

    def optimise(self) -> None:
        """Builds the graph where it pays. qdrant-edge holds Python's lock meanwhile: 1.8 s for 5,000."""
        if self.count() >= OPTIMISE_FROM:
            self._shard.optimize()
            self._beside.clear()

    @property
    def beside_graph(self) -> int:
        """How many products were written since the graph was built: they are searched one by one."""
        return len(self._beside)

    @property
    def is_overgrown(self) -> bool:
        """Whether there are so many that a new graph pays."""
        count = self.count() if self.beside_graph >= OVERGROWN_FROM else 0
        return count >= OPTIMISE_FROM and self.beside_graph >= OVERGROWN_SHARE * count

    @property
    def next_folder(self) -> Path:
        """Where a copy may be put that the index is to move to."""
        return self._first_folder.with_name(f"{self._first_folder.name}.{self._moves + 1}")

    def follow_copy(self) -> None:
        """There is a copy of what is in `folder`; what is written from here on is noted."""
        self._since_copy = set()

    def move_to(self, folder: Path) -> Iterator[None]:
        """Goes on with the copy, which may have got a graph, and writes to it what the copy lacks.

        Nobody else writes until the iterator ends; between its steps the index answers from where it was.
        Raises OSError for files that the engine does not take.
        """
        since, self._since_copy = self._since_copy or set(), None
        try:
            shard = EdgeShard.load(str(folder))
        except BaseException as error:  # a panic of the engine is no Exception
            raise OSError(f"the engine does not take {folder}: {error}") from error
        changed: list[int | UUID | str] = sorted(since)
        for start in range(0, len(changed), CHANGES_AT_A_TIME):
            part = changed[start : start + CHANGES_AT_A_TIME]
            found = self._shard.retrieve(part, True, True)
            shard.update(UpdateOperation.delete_points(part))
            points = [Point(each.id, each.vector, each.payload) for each in found if each.vector is not None]
            shard.update(UpdateOperation.upsert_points(points))
            yield
        former, self._shard = self._shard, shard
        left, self.folder = self.folder, folder
        self._moves, self._beside = self._moves + 1, since
        former.close()
        shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """Closes the shard and removes its folder."""
        self._shard.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _filter(where: Where, excluded: Sequence[int]) -> Filter | None:
    must = [FieldCondition(key=field, match=_any(values)) for field, values in where.any_of()]
    if where.price_min is not None or where.price_max is not None:
        must.append(FieldCondition(key="price", range=RangeFloat(gte=where.price_min, lte=where.price_max)))
    must_not: list[FieldCondition | HasIdCondition] = [
        FieldCondition(key=field, match=_any(values)) for field, values in where.none_of()
    ]
    if excluded:
        must_not.append(HasIdCondition(set(excluded)))
    return Filter(must=list(must), must_not=list(must_not)) if must or must_not else None


def _any(values: Values) -> MatchAny | MatchValue:
    return MatchAny(sorted(values)) if len(values) > 1 else MatchValue(next(iter(values)))
