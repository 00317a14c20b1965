"""What is known of products, kept on disk: a restart reads only what has changed since.

Products, their vectors and the index, with how far their two topics were read. No visitor is in it. A copy
that is not whole, or was made for something else, is thrown away, and all is read from the topics.
"""

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

import msgspec
import numpy as np
import structlog

from schemas.jsonschema import json_schema
from schemas.products import Product
from schemas.released import demands
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Layout, ProductVectors
from services.clock import now_ms
from services.files import clean, digest, write_folder
from services.kafka.clients import TopicPosition
from services.product_numbers import UNKNOWN
from services.recommender.catalogue import Catalogue
from services.recommender.index.qdrant_edge import ENGINE, EdgeIndex
from services.recommender.metrics import Metrics
from services.vector_replica import ReplicaColumns, VectorReplica

log = structlog.get_logger()

FORM: Final = 1  # of what is written: another one is not read
# A release that does not know a field of products leaves it out of its copy. Who knows it must not go on from
# there: what has it lies before the copy's positions, and would never be read.
CONTRACT: Final = sha256(
    msgspec.json.encode([demands(json_schema(each)) for each in (Product, ProductVectors)], order="sorted")
).hexdigest()
CHANGED_SHARE: Final = 0.05  # of the products, at least, for a new copy
CHUNK: Final = 1 << 22  # bytes copied at a time
LINES: Final = 1_000  # products encoded at a time: a millisecond with Python's lock
MANIFEST: Final = "manifest.json"
NAMES: Final = "names.json"
CATALOGUE: Final = "products.jsonl"
INDEX: Final = "index"
COLUMNS: Final = ("rows", "row_of", "category_of")

Positions = Mapping[str, TopicPosition]  # by the topics' names without prefix
Keys = list[bytes]


class KnownVectors(Protocol):
    """What the vectors are made by, and a lock: while it is held none changes."""

    models: dict[str, str]
    vectors_turn: asyncio.Lock


class SnapshotRefused(Exception):
    """It is not whole, or was made for something else."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy was made of; `files` has the SHA-256 of each, by path."""

    form: int
    layout: str
    engine: str | None
    prefix: str
    positions: dict[str, TopicPosition]
    models: dict[str, str]
    made_at: float
    files: dict[str, str]
    contract: str = ""  # what a product was to who wrote it; releases before 0.2.0 did not say


class Names(msgspec.Struct, frozen=True):
    """Products in the order of their numbers, and top-level categories in that of theirs."""

    products: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy that was found whole, in memory but for what is mapped."""

    manifest: Manifest
    names: Names
    products: list[Product]
    columns: ReplicaColumns


@dataclass(frozen=True, slots=True)
class Resumption:
    """How far a topic is known already, and the keys of what is known."""

    position: TopicPosition
    keys: Keys


class Snapshots:
    """The newest copy of one recommender's products, in `folder`. `index` is None beside a Qdrant server."""

    def __init__(
        self,
        folder: Path,
        state: KnownVectors,
        catalogue: Catalogue,
        replica: VectorReplica,
        index: EdgeIndex | None,
        *,
        layout: Layout,
        prefix: str,
        products_min: int,
        metrics: Metrics,
    ) -> None:
        """`products_min`: with fewer all is read as quickly."""
        self._folder = folder
        self._state = state
        self._catalogue = catalogue
        self._replica = replica
        self._numbers = catalogue.numbers
        self._index = index
        self._layout = layout
        self._prefix = prefix
        self._products_min = products_min
        self._metrics = metrics
        self._kept_changes = 0

    def restore(self) -> Mapping[str, Resumption]:
        """Fills catalogue, replica and index from the newest copy; where each topic goes on, by name.

        Nothing where there is no good one. Blocks; call it before anything else is known.
        """
        began = perf_counter()
        clean(self._folder)
        for path in self._copies():
            try:
                found = self._read(path)
            except (SnapshotRefused, OSError, ValueError, msgspec.MsgspecError) as reason:
                log.warning("the copy of the products is thrown away", folder=str(path), reason=str(reason))
                shutil.rmtree(path, ignore_errors=True)
                continue
            self._take(found)
            seconds = round(perf_counter() - began, 2)
            log.info("products are known from a copy", products=len(self._catalogue), seconds=seconds)
            return {
                PRODUCTS.name: Resumption(
                    found.manifest.positions[PRODUCTS.name],
                    [each.product_id.encode() for each in found.products],
                ),
                PRODUCT_VECTORS.name: Resumption(
                    found.manifest.positions[PRODUCT_VECTORS.name],
                    [product_id.encode() for product_id in self._replica.product_ids],
                ),
            }
        return {}

    @property
    def is_due(self) -> bool:
        """Whether a new copy would spare a restart much that the newest one does not."""
        known = len(self._replica)
        changes = self._numbers.changes - self._kept_changes
        return known >= self._products_min and changes >= CHANGED_SHARE * known

    async def write(self, positions: Positions) -> None:
        """A copy of what is known at this moment, of which `positions` tell how far that is.

        While it is written, which takes seconds, changed vectors wait; rows go on. An OSError, such as a full
        disk, is logged: the next start takes longer.
        """
        began = perf_counter()
        async with self._state.vectors_turn:
            changes, products = self._numbers.changes, self._catalogue.products()
            names = self._numbers.names
            columns = self._replica.columns()
            manifest = Manifest(
                form=FORM,
                layout=self._layout.id,
                engine=ENGINE if self._index else None,
                prefix=self._prefix,
                positions=dict(positions),
                models=self._state.models,
                made_at=now_ms(),
                files={},
                contract=CONTRACT,
            )
            try:
                if self._index:
                    self._index.flush()
                await asyncio.to_thread(self._write, manifest, names, products, columns)
            except OSError as error:
                log.warning("no copy of the products can be kept", folder=str(self._folder), error=str(error))
                return
        self._kept_changes = changes
        self._metrics.snapshot_at.set(manifest.made_at / 1000)
        log.info("products are kept", products=len(products), seconds=round(perf_counter() - began, 2))

    def _copies(self) -> list[Path]:
        """The newest first."""
        found = [path for path in self._folder.glob("*") if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name), reverse=True)

    def _write(
        self, manifest: Manifest, names: Sequence[str], products: Sequence[Product], columns: ReplicaColumns
    ) -> None:
        before = self._copies()
        number = int(before[0].name) + 1 if before else 1
        with write_folder(self._folder / f"{number:06}") as folder:
            (folder / NAMES).write_bytes(msgspec.json.encode(Names(tuple(names), columns.categories)))
            with (folder / CATALOGUE).open("wb") as stream:
                encoder = msgspec.json.Encoder()
                for chunk in _chunks(products):
                    stream.write(encoder.encode_lines(chunk))
            for name in COLUMNS:
                np.save(folder / f"{name}.npy", getattr(columns, name))
            if self._index:
                shutil.copytree(self._index.folder, folder / INDEX)
            files = {path.relative_to(folder).as_posix(): digest(path) for path in _files(folder)}
            (folder / MANIFEST).write_bytes(
                msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
            )
        for path in before:
            shutil.rmtree(path, ignore_errors=True)

    def _read(self, path: Path) -> Snapshot:
        """Raises SnapshotRefused, and what reading raises."""
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        ours = (FORM, CONTRACT, self._layout.id, ENGINE if self._index else None, self._prefix)
        if (manifest.form, manifest.contract, manifest.layout, manifest.engine, manifest.prefix) != ours:
            raise SnapshotRefused("it was made by another version or with other settings")
        if {each.relative_to(path).as_posix() for each in _files(path)} != {*manifest.files, MANIFEST}:
            raise SnapshotRefused("files are missing, or there are others")
        for name, expected in manifest.files.items():
            if digest(path / name) != expected:
                raise SnapshotRefused(f"{name} is not as it was written")
        names = msgspec.json.decode((path / NAMES).read_bytes(), type=Names)
        lines = msgspec.json.Decoder(Product).decode_lines((path / CATALOGUE).read_bytes())
        # Rows are mapped: processes of one machine share them until they change one.
        arrays = {name: np.asarray(np.load(path / f"{name}.npy", mmap_mode="c")) for name in COLUMNS}
        columns = ReplicaColumns(**arrays, categories=names.categories)
        if self._index:
            shutil.copytree(path / INDEX, loading := self._index.folder.with_suffix(".loading"))
            if not self._index.adopt(loading, int(np.count_nonzero(columns.row_of != UNKNOWN))):
                raise SnapshotRefused("the engine does not take its index")
        return Snapshot(manifest, names, lines, columns)

    def _take(self, found: Snapshot) -> None:
        self._numbers.number_all(found.names.products)
        self._replica.restore(found.columns)
        for product in found.products:
            self._catalogue.put(product)
        self._state.models = found.manifest.models
        self._kept_changes = self._numbers.changes
        self._metrics.snapshot_at.set(found.manifest.made_at / 1000)
        self._metrics.products.set(len(self._catalogue))
        self._metrics.indexed.set(len(self._replica))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _chunks(products: Iterable[Product]) -> Iterator[list[Product]]:
    left = iter(products)
    while chunk := list(islice(left, LINES)):
        yield chunk
