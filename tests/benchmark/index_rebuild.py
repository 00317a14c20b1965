"""`python -m tests.benchmark.index_rebuild`: the index built anew from 20,000 products on the topics.

Both ways: a recommender's own index, from the start of its process until /readyz tells that it has all; and a
Qdrant collection by `index rebuild`, here in qdrant-client's memory mode, so that what is measured of it is
the reading and packing rather than a server's work. One JSON line on stdout.
"""

import logging
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from qdrant_client import QdrantClient
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Layout, ProductVectors
from services.kafka.admin import create
from services.kafka.ranges import open_reader
from services.kafka.writer import open_writer
from services.ops import services
from services.ops.index import maintenance
from services.ops.index.query import TopicState, check_server
from services.ops.settings import OpsSettings
from services.progress import Silent
from tests.benchmark.brokers import broker
from tests.benchmark.stopwatch import time_call
from tests.support.services import run_service

COUNT: Final = 20_000
SLICE: Final = 1_000
SHELVES: Final = 200
WITHIN_S: Final = 300


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but for counts. `recommender_start_s` is from the start of the process, imports and all."""

    products: int
    topic_mb: float
    read_topic_s: float
    bare_recommender_start_s: float
    recommender_start_s: float
    server_rebuild_s: float
    server_rebuild_per_s: float
    server_check_s: float


def publish(settings: OpsSettings) -> int:
    """The products and their vectors, drawn from a fixed seed; bytes on product-vectors."""
    rng = np.random.default_rng(6)
    layout = settings.layout
    shelves = rng.normal(size=(SHELVES, layout.width))
    size = 0
    with open_writer(settings) as writer:
        for start in range(0, COUNT, SLICE):
            numbers = range(start, start + SLICE)
            near = shelves[[number % SHELVES for number in numbers]]
            contents = layout.normalise(near + rng.normal(size=(SLICE, layout.width)))
            for number, content in zip(numbers, contents, strict=True):
                made, key = _product(number), f"p{number:05}".encode()
                raw = vectors.encode(_vectors(made, layout, content))
                writer.write(settings.topic(PRODUCTS), key, products.encode(made))
                writer.write(settings.topic(PRODUCT_VECTORS), key, raw)
                size += len(raw)
    return size


def _product(number: int) -> Product:
    shelf = number % SHELVES
    return Product(
        product_id=f"p{number:05}",
        name=f"Product {number} of shelf {shelf}",
        description="A sentence or two about what it is made of, and whom it suits. " * 3,
        brand=f"Brand {number % 50}",
        category=(f"Floor {shelf % 10}", f"Shelf {shelf}"),
        type=f"type {shelf % 20}",
        price=5.0 + number % 500,
        currency="EUR",
        availability="in_stock" if number % 20 else "out_of_stock",
        popularity=round(1 / (1 + number), 6),
        updated_at=1_700_000_000_000 + number,
    )


def _vectors(product: Product, layout: Layout, content: np.ndarray) -> ProductVectors:
    return ProductVectors(
        product=product,
        layout=layout.id,
        content=vectors.pack(content),
        hashes={name: "0123456789abcdef" for name, _ in layout.widths},
        models={"text": "stand-in", "image": "stand-in"},
    )


def measure_start(settings: OpsSettings, expected: int) -> float:
    """Seconds from a recommender's start until it is ready and has so many products."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        environment = {"EDDY_RECOMMENDER_DATADIR": f"{folder}/index", "OPENBLAS_NUM_THREADS": "1"}
        with run_service(
            "recommender",
            settings,
            Path(folder) / "log",
            environment=environment,
            until="/healthz",
            fresh=True,
        ) as service:
            asked = settings.model_copy(update={"recommender_url": service.url})
            found = _ready(asked)
            seconds = time.perf_counter() - began
    if found.products != expected:
        raise SystemExit(f"the recommender has {found.products} of {expected} products")
    return seconds


@retry(
    retry=retry_if_result(lambda found: not found.ready),
    stop=stop_after_delay(WITHIN_S),
    wait=wait_fixed(0.05),
)
def _ready(settings: OpsSettings) -> services.Health:
    return services.health(settings, "recommender")


def measure() -> Figures:
    """Everything, on a broker of its own."""
    with broker() as running_broker, tempfile.TemporaryDirectory() as folder:
        empty = OpsSettings(kafka_bootstrap=running_broker.bootstrap, topic_prefix="empty.")
        full = OpsSettings(
            kafka_bootstrap=running_broker.bootstrap, topic_prefix="full.", ops_datadir=Path(folder)
        )
        create(empty)
        create(full)
        size = publish(full)
        with open_reader(full) as reader:
            topic = TopicState(reader, full.layout)
            read_s, _ = time_call(partial(topic.read_on, Silent()))
        bare_s, start_s = measure_start(empty, 0), measure_start(full, COUNT)
        client = QdrantClient(":memory:")
        rebuild_s, rebuilt = time_call(partial(maintenance.rebuild_index, full, Silent(), client))
        check_s, state = time_call(partial(check_server, full, client, topic))
        if not state.agrees or rebuilt.products != COUNT:
            raise SystemExit(f"the collection is not whole: {state}")
        return Figures(
            products=COUNT,
            topic_mb=round(size / 1e6, 1),
            read_topic_s=round(read_s, 2),
            bare_recommender_start_s=round(bare_s, 2),
            recommender_start_s=round(start_s, 2),
            server_rebuild_s=round(rebuild_s, 2),
            server_rebuild_per_s=round(COUNT / rebuild_s),
            server_check_s=round(check_s, 2),
        )


if __name__ == "__main__":
    logging.getLogger("librdkafka").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    warnings.filterwarnings("ignore", message=r"Local mode is not recommended")
    sys.stdout.buffer.write(msgspec.json.encode(measure()) + b"\n")
