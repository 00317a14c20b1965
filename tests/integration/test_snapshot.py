"""The copy of the products that a restart begins with: as good as reading all, or not used at all."""

import asyncio
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Layout, Vector
from services.kafka.clients import TopicPosition
from services.kafka.topic_watch import TopicShape
from services.product_numbers import ProductNumbers
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.snapshot import MANIFEST, Manifest, Snapshots
from services.vector_replica import VectorReplica
from tests.support.examples import examples

LAYOUT = Layout.of(6, 4)
POSITIONS = {
    PRODUCTS.name: TopicPosition(TopicShape("one", 2), {0: 3, 1: 5}),
    PRODUCT_VECTORS.name: TopicPosition(TopicShape("other", 2), {1: 7}),
}
EVERYTHING = Where()


def product(number: int, price: int) -> Product:
    return Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=float(price),
        currency="EUR",
        availability="in_stock" if price % 3 else "out_of_stock",
        updated_at=price,
        category=(f"shelf {number % 3}",) if number % 5 else (),
        brand=f"brand {number % 4}",
    )


def vector(seed: int) -> Vector:
    drawn = np.random.default_rng(seed).normal(size=LAYOUT.width)
    return LAYOUT.normalise(drawn).astype(np.float16).astype(np.float32)


@dataclass
class Vectors:
    models: dict[str, str] = field(default_factory=dict)
    vectors_turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shop:
    """What a recommender knows of products, and its copies, in a folder."""

    def __init__(self, folder: Path, prefix: str = "", layout: Layout = LAYOUT) -> None:
        numbers = ProductNumbers()
        self.catalogue = Catalogue(numbers)
        self.held = Vectors()
        self.metrics = Metrics()

        self.replica = VectorReplica(layout, numbers)
        self.index = EdgeIndex(layout, folder / "index", numbers)
        self.snapshots = Snapshots(
            folder / "snapshots",
            self.held,
            self.catalogue,
            self.replica,
            self.index,
            layout=layout,
            prefix=prefix,
            products_min=1,
            metrics=self.metrics,
        )

    def apply(self, change: tuple[str, int, int]) -> None:
        what, number, value = change
        each = product(number, value)
        if what == "put":
            self.catalogue.put(each)
        elif what == "embed":
            self.replica.put(each, vector(value).astype(np.float16))
            self.index.upsert([(each, vector(value))])
        elif what == "remove":
            self.catalogue.remove(each.product_id)
        else:
            self.replica.remove(each.product_id)
            self.index.remove([each.product_id])

    @property
    def shown(self) -> object:
        """All that rows are made of."""
        ids = self.replica.product_ids
        numbers = self.replica.numbers.find_all(ids)
        allowed = self.catalogue.filter(Where(availability=AVAILABLE)).mask(numbers)
        found = self.index.nearest(vector(1), 99, EVERYTHING)
        return (
            sorted(self.catalogue.products(), key=lambda each: each.product_id),
            self.catalogue.popular(20, EVERYTHING, 20),
            {each: self.replica.units([each]).tobytes() for each in ids},
            dict(zip(ids, self.replica.top_categories(ids), strict=True)),
            dict(zip(ids, allowed.tolist(), strict=True)),
            sorted((hit.product_id, round(hit.score, 5)) for hit in found),
            self.held.models,
        )

    def keep(self) -> None:
        asyncio.run(self.snapshots.write(POSITIONS))


changes = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "embed", "embed", "embed", "remove", "forget"]),
        st.integers(0, 12),
        st.integers(1, 50),
    ),
    max_size=40,
)


@examples(8)  # a copy of a small shop is 100 MB, most of it holes
@given(before=changes, between=changes, after=changes)
def test_what_goes_on_from_a_copy_is_what_has_never_ended(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, int, int]],
    between: list[tuple[str, int, int]],
    after: list[tuple[str, int, int]],
) -> None:
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as name:
        folder = Path(name)
        lasting = Shop(folder / "lasting")
        lasting.held.models = {"text": "words"}
        for change in before:
            lasting.apply(change)
        lasting.keep()
        wanted = lasting.shown
        shutil.copytree(folder / "lasting" / "snapshots", folder / "new" / "snapshots")
        for change in between:
            lasting.apply(change)
        restarted = Shop(folder / "new")
        known = restarted.snapshots.restore()
        assert restarted.shown == wanted
        assert {name: each.position for name, each in known.items()} == POSITIONS
        assert known[PRODUCT_VECTORS.name].keys == [each.encode() for each in restarted.replica.product_ids]
        assert not restarted.snapshots.is_due
        for change in [*between, *after]:
            restarted.apply(change)
        for change in after:
            lasting.apply(change)
        assert restarted.shown == lasting.shown
        for shop in (lasting, restarted):
            shop.index.close()


@pytest.fixture
def copy_folder(tmp_path: Path) -> Path:
    """A folder with the copy of a shop that has ended."""
    shop = Shop(tmp_path)
    for number in range(30):
        shop.apply(("put", number, 1))
        shop.apply(("embed", number, number))
    due = [shop.snapshots.is_due]
    shop.keep()
    due.append(shop.snapshots.is_due)
    assert due == [True, False]
    shop.index.close()
    return tmp_path


def test_a_new_copy_takes_the_place_of_the_older(copy_folder: Path) -> None:
    shop = Shop(copy_folder)
    shop.snapshots.restore()
    shop.apply(("put", 40, 1))
    shop.keep()
    again = Shop(copy_folder)
    assert again.snapshots.restore()
    assert again.catalogue.get("p40") is not None
    assert [path.name for path in (copy_folder / "snapshots").iterdir()] == ["000002"]


@pytest.mark.parametrize(
    ("prefix", "layout"), [("other.", LAYOUT), ("", Layout.of(7, 4))], ids=["prefix", "layout"]
)
def test_a_copy_of_something_else_is_not_read(copy_folder: Path, prefix: str, layout: Layout) -> None:
    shop = Shop(copy_folder, prefix, layout)
    assert shop.snapshots.restore() == {}
    assert (len(shop.catalogue), len(shop.replica), shop.index.count()) == (0, 0, 0)


@pytest.mark.parametrize("contract", ["", "that of a release to which a product has fewer fields"])
def test_a_copy_by_a_release_to_which_a_product_is_something_else_is_not_read(
    copy_folder: Path, contract: str
) -> None:
    path = copy_folder / "snapshots" / "000001" / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, contract=contract)))
    require_nothing(copy_folder)


def test_of_a_copy_that_is_not_whole_nothing_is_used(copy_folder: Path) -> None:
    """A file is gone, shorter or longer, or one of its bytes is another."""
    whole = copy_folder / "snapshots" / "000001"
    aside = copy_folder / "aside"
    whole.rename(aside)
    paths = sorted(
        path.relative_to(aside) for path in aside.rglob("*") if path.stat().st_size and path.is_file()
    )
    ours = [path for path in paths if len(path.parts) == 1]
    for nth, path in enumerate([*ours, *paths[:: len(paths) // 4]]):
        shutil.copytree(aside, whole, copy_function=os.link)
        content = bytearray((aside / path).read_bytes())
        (whole / path).unlink()
        if nth % 4:
            damaged = (content[:-1], content + b"\0", content[:-1] + bytes([content[-1] ^ 1]))[nth % 4 - 1]
            (whole / path).write_bytes(damaged)
        require_nothing(copy_folder)
        assert not whole.exists()


def require_nothing(folder: Path) -> None:
    shop = Shop(folder)
    assert shop.snapshots.restore() == {}
    assert (len(shop.catalogue), len(shop.replica), shop.index.count()) == (0, 0, 0)
    shop.apply(("embed", 1, 1))
    assert shop.index.count() == 1
    shop.index.close()


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_index_that_the_engine_does_not_take_is_begun_anew(copy_folder: Path, is_gone: bool) -> None:
    """Its files are as they were written, but nothing that this engine can read, or not all."""
    folder = copy_folder / "snapshots" / "000001"
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    files = dict(manifest.files)
    for name in [name for name in files if "segment" in name]:
        if is_gone:
            (folder / name).unlink()
            del files[name]
        else:
            (folder / name).write_bytes(b"{}")
            files[name] = hashlib.sha256(b"{}").hexdigest()
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))
    require_nothing(copy_folder)


def test_a_disk_that_takes_no_copy_stops_nothing(copy_folder: Path) -> None:
    shop = Shop(copy_folder)
    shop.snapshots.restore()
    shutil.rmtree(copy_folder / "snapshots")
    (copy_folder / "snapshots").write_bytes(b"a file where a folder should be")
    shop.apply(("put", 40, 1))
    shop.keep()
    assert shop.catalogue.get("p40") is not None
    assert not shop.held.vectors_turn.locked()
