"""A new collection made from the topic beside the one that serves, which it then takes the place of.

The embedder goes on meanwhile. It writes each change to the topic first and to the collection that serves
then, so that whatever it wrote to the old one is read here. What is read after the switch may be older than
what it has written to the new one since: products that were written here are followed on the topic until
nothing newer of them came in between. So at the end each product is as its newest message says.
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
from qdrant_client import QdrantClient

from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.errors import OperationFailed
from services.ops.index.query import Change, Changes
from services.progress import Progress
from services.qdrant import (
    FIRST,
    SERVERS_CHOICE,
    CollectionShape,
    ProductCollection,
    alias_target,
    create,
    point_alias,
    successor_suffix,
)

SLICE: Final = 256  # products in one request, about 1.5 MB of JSON
CAUGHT_UP: Final = 500  # so few changes are read within the moment of the switch
PASSES_MAX: Final = (
    20  # of catching up before the switch: a catalogue that is being loaded has no quiet moment
)

Point = tuple[Product, Vector]


class FreshCollection(Protocol):
    """The new collection."""

    name: str

    def upsert(self, products: Sequence[Point]) -> None:
        """Adds or replaces."""

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes."""

    def count(self) -> int:
        """Products in it."""


class ServingName(Protocol):
    """The name that leads to the collection that serves."""

    @property
    def serving(self) -> str | None:
        """What serves now."""

    def beside(self, stamp: str) -> FreshCollection:
        """A new, empty collection."""

    def switch(self, to: str) -> None:
        """The change of place."""

    def drop(self, name: str) -> None:
        """Removes a collection."""

    def list_leftovers(self) -> list[str]:
        """Collections that do not serve."""


class NotWhole(OperationFailed):
    """The new collection lacks products, or has too many: the one before goes on serving."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: `products` in the collection, `changes` read of the topic, what was removed."""

    collection: str
    products: int
    changes: int
    removed: tuple[str, ...]


class Rebuild:
    """One rebuild. What it raises leaves the index as it was before the switch, and complete after it."""

    def __init__(
        self,
        place: ServingName,
        changes: Changes,
        point: Callable[[bytes], Point],
        progress: Progress,
        *,
        keep_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`keep_s`: how long what served before stays, for questions that are under way."""
        self._place = place
        self._changes = changes
        self._point = point
        self._progress = progress
        self._keep_s = keep_s
        self._sleep = sleep
        self._read = 0
        self._alive: set[str] = set()  # what the topic has, of what was read

    def run(self, stamp: str) -> RebuildReport:
        """All of it; `stamp` tells this rebuild's collection from others'."""
        made = self._place.beside(stamp)
        try:
            self._catch_up(made)
            self._require_whole(made)
            self._progress.stage("switching, and reading what came meanwhile")
            self._place.switch(made.name)
        except BaseException:
            with suppress(Exception):  # what stays is removed by the next rebuild
                if self._place.serving != made.name:
                    self._place.drop(made.name)
            raise
        self._settle(made)
        removed = tuple(self._place.list_leftovers())
        if removed and self._keep_s:
            self._progress.stage(f"leaving the collection before for {self._keep_s:g} s")
            self._sleep(self._keep_s)  # killed meanwhile, the next rebuild removes it
        for name in removed:
            self._place.drop(name)
        return RebuildReport(collection=made.name, products=made.count(), changes=self._read, removed=removed)

    def _catch_up(self, made: FreshCollection) -> None:
        waiting = self._changes.waiting()
        self._progress.stage("products into the new collection", waiting)
        for _ in range(PASSES_MAX):
            for batch in self._changes.to_the_end():
                self._write(made, batch)
            if self._changes.waiting() <= CAUGHT_UP:
                return

    def _require_whole(self, made: FreshCollection) -> None:
        """Nobody else writes it yet. Raises NotWhole."""
        if (found := made.count()) != len(self._alive):
            raise NotWhole(
                f"the new collection has {found:,} products, the topic {len(self._alive):,}: nothing was "
                "changed. Look at the Qdrant server's log and disk, and run it again"
            )

    def _settle(self, made: FreshCollection) -> None:
        """What the embedder wrote to the old collection, and what is newer of what is written here."""
        written: set[str] = set()
        for batch in self._changes.to_the_end():
            written |= {product_id for product_id, _ in batch}
            self._write(made, batch)
        newer = True
        while newer:
            newer = False
            for batch in self._changes.to_the_end():
                if ours := [change for change in batch if change[0] in written]:
                    newer = True
                    self._write(made, ours)

    def _write(self, made: FreshCollection, batch: Sequence[Change]) -> None:
        self._read += len(batch)
        self._alive.difference_update(product_id for product_id, value in batch if value is None)
        self._alive.update(product_id for product_id, value in batch if value is not None)
        gone = [product_id for product_id, value in batch if value is None]
        there = [value for _, value in batch if value is not None]
        made.remove(gone)
        self._progress.advance(len(gone))
        for start in range(0, len(there), SLICE):
            points = [self._point(value) for value in there[start : start + SLICE]]
            made.upsert(points)
            self._progress.advance(len(points))


STAMP: Final = re.compile(r"\.[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")


class QdrantAlias:
    """What is, was and will be found under one name. Calls block, and raise what Qdrant raises."""

    def __init__(
        self, client: QdrantClient, name: str, layout: Layout, shape: CollectionShape = SERVERS_CHOICE
    ) -> None:
        self._client = client
        self._layout = layout
        self._shape = shape
        self.name = name

    @property
    def serving(self) -> str | None:
        """The collection that serves now; None where there is none."""
        behind = alias_target(self._client, self.name)
        if behind is None and self._client.collection_exists(self.name):
            return self.name  # of a former version, which knew no alias
        return behind

    def beside(self, stamp: str) -> ProductCollection:
        """A new, empty collection, which nobody asks yet."""
        name = f"{self.name}.{stamp}"
        try:
            create(self._client, name, self._layout, self._shape)
            return ProductCollection(self._client, name, self._layout, self._shape)
        except BaseException:
            with suppress(Exception):  # what stays is removed by the next rebuild
                self.drop(name)
            raise

    def switch(self, to: str) -> None:
        """Lets the name lead to this collection from now on.

        A collection of that very name has to go first: for some milliseconds there is none, rows are made
        without the index, and an embedder that writes just then starts anew. It happens once.
        """
        if self.serving == self.name:
            self._client.delete_collection(self.name)
        point_alias(self._client, self.name, to)

    def drop(self, name: str) -> None:
        """Removes a collection."""
        self._client.delete_collection(name)

    def list_leftovers(self) -> list[str]:
        """Collections of this name that do not serve: former ones, those of rebuilds that were killed, and
        what an embedder wrote while vectors of another layout served.

        One that an embedder of another layout may be writing now is none.
        """
        serving = self.serving
        names = (each.name for each in self._client.get_collections().collections)
        return sorted(name for name in names if name != serving and self._is_ours(name))

    def _is_ours(self, name: str) -> bool:
        behind = name.removeprefix(self.name)
        return behind != name and (
            behind in (FIRST, successor_suffix(self._layout)) or STAMP.fullmatch(behind) is not None
        )
